import { buildRegistry } from "../app/registry.ts"
import { loadConfig } from "../config/load.ts"
import type { ComposedPlatform, Composition } from "../facade/composer.ts"
import { explainLayers } from "../facade/explain.ts"
import type { Descriptor } from "../oci/descriptor.ts"
import { formatPlatform, isSamePlatform, parsePlatform } from "../oci/platform.ts"
import { readArguments } from "./args.ts"
import { type Command, UsageError } from "./io.ts"

const OPTIONS = { platform: { type: "string" }, output: { type: "string" } } as const

/** Prints what an image would consist of, without serving it. */
export const compose: Command = async (args, { out, log, shutdown, tuning }) => {
  const { values, positionals } = readArguments(args, OPTIONS, ["config.json", "name"])
  if (values.output !== undefined) throw new UsageError("--output is not available yet")
  const [file = "", name = ""] = positionals
  const { registry } = await loadConfig(file)
  if (registry === null) throw new Error(`${file} has no section "registry"`)
  const parts = await buildRegistry(registry, log, tuning)
  try {
    const composition = await parts.images.composition(repositoryOf(name), shutdown.gentle)
    out(`${JSON.stringify(describe(composition, values.platform), null, 2)}\n`)
    return 0
  } finally {
    await parts.close()
  }
}

/** A name of the file of fixed specs may be given without its provider. */
const repositoryOf = (name: string): string => (/^(?:fixed|remote)\//.test(name) ? name : `fixed/${name}`)

function describe({ platforms, root }: Composition, wanted: string | undefined) {
  const chosen =
    wanted === undefined
      ? platforms
      : platforms.filter(({ platform }) => isSamePlatform(platform, parsePlatform(wanted)))
  if (chosen.length === 0) {
    throw new Error(
      `The image has no platform ${wanted}, it has ${platforms.map(({ platform }) => formatPlatform(platform)).join(", ")}`,
    )
  }
  return { root: summary(root.descriptor), platforms: chosen.map(describePlatform) }
}

function describePlatform(composed: ComposedPlatform) {
  const { platform, manifest, config } = composed
  return {
    platform: formatPlatform(platform),
    manifest: { ...summary(manifest.descriptor), content: parsed(manifest.bytes) },
    config: { ...summary(config.descriptor), content: parsed(config.bytes) },
    layers: explainLayers(composed).map(({ rule, from, sources, descriptor, diffID }) => ({
      rule,
      from,
      sources,
      ...summary(descriptor),
      ...(diffID === null ? {} : { diffID }),
    })),
  }
}

const summary = ({ mediaType, digest, size }: Descriptor) => ({ mediaType, digest, size })

const parsed = (bytes: Uint8Array): unknown => JSON.parse(new TextDecoder().decode(bytes))
