import { LRUCache } from "lru-cache"
import type { Clock } from "../lib/clock.ts"
import { SingleFlight } from "../lib/single-flight.ts"
import type { WatchedFile } from "../lib/watched-file.ts"
import type { Repository } from "../oci/reference.ts"
import type { Logger } from "../telemetry/log.ts"
import { type Credential, credentialFingerprint, type Keychain } from "../upstream/keychain.ts"
import { type DockerConfig, type Entry, findEntry } from "./docker-config.ts"

export interface DockerKeychainOptions {
  readonly file: Pick<WatchedFile<DockerConfig>, "current">
  /** Runs a helper. Rejects when it cannot be used. */
  readonly ask: (helper: string, server: string) => Promise<Credential | null>
  readonly clock: Clock
  readonly log: Logger
  /** How long what a helper said is used again. */
  readonly knownMs: number
}

type HelperEntry = Extract<Entry, { kind: "helper" }>

interface Known {
  readonly credential: Credential | null
  readonly until: number
}

/** How soon a helper that failed is run again. */
const FAILED_MS = 5000

/** Credentials of Docker's config.json. A helper that fails gives none: what is meant for one host goes to no other. */
export class DockerKeychain implements Keychain {
  readonly #options: DockerKeychainOptions
  readonly #known = new LRUCache<string, Known>({ max: 1000 })
  readonly #asking = new SingleFlight<string, Credential | null>()

  constructor(options: DockerKeychainOptions) {
    this.#options = options
  }

  async find(repository: Repository, signal: AbortSignal): Promise<Credential | null> {
    const entry = findEntry(await this.#options.file.current(), repository)
    if (entry === null) return null
    if (entry.kind === "stored") return entry.credential
    const key = keyOf(entry)
    const known = this.#known.get(key)
    if (known !== undefined && known.until > this.#options.clock.now()) return known.credential
    return await this.#asking.run(key, () => this.#ask(entry), signal)
  }

  forget(refused: Credential): void {
    const stale = credentialFingerprint(refused)
    for (const [key, { credential }] of this.#known.entries())
      if (credentialFingerprint(credential) === stale) this.#known.delete(key)
  }

  async #ask(entry: HelperEntry): Promise<Credential | null> {
    const { ask, clock, knownMs, log } = this.#options
    try {
      const credential = await ask(entry.helper, entry.server)
      this.#known.set(keyOf(entry), { credential, until: clock.now() + knownMs })
      return credential
    } catch (error) {
      log.error("cannot get credentials, going on without", { server: entry.server, error })
      this.#known.set(keyOf(entry), { credential: null, until: clock.now() + FAILED_MS })
      return null
    }
  }
}

const keyOf = ({ helper, server }: HelperEntry): string => `${helper} ${server}`
