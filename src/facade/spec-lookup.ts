import { passingCulprit, RegistryError } from "../oci/error.ts"
import type { ImageSpec, SpecProvider } from "../spec/spec.ts"
import type { Fields, Logger } from "../telemetry/log.ts"

/** The original's fleet pulls this name from every node, to see whether its facade is there. */
const PROBED_NAME = "not-a-valid-image"

/** Specs by full names: the provider's prefix, a slash, and the provider's own name. */
export class SpecLookup {
  readonly #providers: readonly SpecProvider[]
  readonly #log: Logger

  constructor(providers: readonly SpecProvider[], log: Logger) {
    this.#providers = providers
    this.#log = log
  }

  /** Null: nobody knows the name. Rejects with RegistryError where that cannot be told. */
  async find(name: string, signal: AbortSignal): Promise<ImageSpec | null> {
    const { provider, rest } = this.#split(name)
    if (provider === undefined) return null
    try {
      return await provider.resolve(rest, signal)
    } catch (error) {
      if (!signal.aborted)
        this.#log.error("cannot get spec", { ...fieldsOf(provider, rest), error }, passingCulprit(error))
      throw error
    }
  }

  /** As `find`, and rejects NAME_UNKNOWN. The log tells of every image that is asked for, as the original's did. */
  async demand(name: string, signal: AbortSignal): Promise<ImageSpec> {
    const { provider, rest } = this.#split(name)
    if (provider !== undefined)
      this.#log.info(`provider ${provider.prefix} will handle request for ${rest}`, fieldsOf(provider, rest))
    const spec = await this.find(name, signal)
    if (spec !== null) return spec
    const fields = provider === undefined ? { name } : fieldsOf(provider, rest)
    if (rest === PROBED_NAME) this.#log.info("this was node-labeler, we expected no spec", fields)
    else this.#log.info("cannot get spec", { ...fields, reason: "the name is unknown" })
    throw new RegistryError("NAME_UNKNOWN", `Cannot find ${name}: no image of that name is configured`)
  }

  #split(name: string): { readonly provider: SpecProvider | undefined; readonly rest: string } {
    const slash = name.indexOf("/")
    const provider = this.#providers.find(({ prefix }) => prefix === name.slice(0, slash))
    return { provider, rest: name.slice(slash + 1) }
  }
}

/** A remote name is that of a workspace's instance, by which people look for lines. */
const fieldsOf = ({ prefix }: SpecProvider, name: string): Fields => ({
  specProvName: prefix,
  name,
  ...(prefix === "remote" ? { instanceId: name } : {}),
})
