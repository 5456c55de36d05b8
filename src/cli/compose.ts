import { withImages } from "../app/command-tools.ts"
import { openAt } from "../blob/blob.ts"
import { loadConfig } from "../config/load.ts"
import { OciLayout } from "../export/oci-layout.ts"
import type { ComposedPlatform, Composition } from "../facade/composer.ts"
import { explainLayers } from "../facade/explain.ts"
import type { Images } from "../facade/images.ts"
import type { Descriptor, JsonBlob } from "../oci/descriptor.ts"
import { formatPlatform, isSamePlatform, parsePlatform } from "../oci/platform.ts"
import { readArguments } from "./args.ts"
import { type Command, UsageError } from "./io.ts"

const OPTIONS = { platform: { type: "string" }, output: { type: "string" } } as const

/** Prints what an image would consist of, without serving it. */
export const compose: Command = async (args, { out, log, shutdown, tuning }) => {
  const { values, positionals } = readArguments(args, OPTIONS, ["config.json", "name"])
  const output = values.output === undefined ? null : readOutput(values.output)
  const [file = "", name = ""] = positionals
  const { registry } = await loadConfig(file)
  if (registry === null) throw new Error(`${file} has no section "registry"`)
  await withImages(registry, { log, tuning }, async (images) => {
    const repository = repositoryOf(name)
    const composition = await images.composition(repository, shutdown.gentle)
    const chosen = choose(composition, values.platform)
    if (output === null) out(`${JSON.stringify(describe(chosen), null, 2)}\n`)
    else out(`${await write(chosen, { ...output, repository, images, signal: shutdown.gentle })}\n`)
  })
  return 0
}

/** A name of the file of fixed specs may be given without its provider. */
const repositoryOf = (name: string): string => (/^(?:fixed|remote)\//.test(name) ? name : `fixed/${name}`)

/** An image, or one platform of it. */
interface Chosen {
  readonly root: Descriptor
  readonly platforms: readonly ComposedPlatform[]
}

function choose({ platforms, root }: Composition, wanted: string | undefined): Chosen {
  if (wanted === undefined) return { root: root.descriptor, platforms }
  const [first] = platforms.filter(({ platform }) => isSamePlatform(platform, parsePlatform(wanted)))
  if (first !== undefined) return { root: first.manifest.descriptor, platforms: [first] }
  const available = platforms.map(({ platform }) => formatPlatform(platform)).join(", ")
  throw new Error(`The image has no platform ${wanted}, it has ${available}`)
}

const describe = ({ root, platforms }: Chosen) => ({ root: summary(root), platforms: platforms.map(describePlatform) })

interface Output {
  readonly dir: string
  readonly tag: string
}

function readOutput(text: string): Output {
  const [, dir, tag = "latest"] = /^oci:(.+?)(?::([A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?$/s.exec(text) ?? []
  if (dir === undefined) throw new UsageError(`--output ${JSON.stringify(text)} is not oci:DIR or oci:DIR:TAG`)
  return { dir, tag }
}

interface Writing extends Output {
  readonly repository: string
  readonly images: Images
  readonly signal: AbortSignal
}

/** Writes the image as an OCI layout; gives what to tell people. */
async function write({ root, platforms }: Chosen, { dir, tag, repository, images, signal }: Writing): Promise<string> {
  const layout = OciLayout.create(dir)
  const open = async ({ digest }: Descriptor) => {
    const blob = await images.blob(repository, digest, signal)
    return await openAt(blob.kind === "cold" ? await blob.obtain(signal) : blob, 0, signal)
  }
  const layers = platforms.flatMap(({ baseLayers, contributions }) => [
    ...baseLayers,
    ...contributions.flatMap((contribution) => contribution.layers),
  ])
  for (const { descriptor } of layers) await layout.add(descriptor, open)
  const documents = platforms.flatMap(({ manifest, config }) => [config, manifest])
  for (const document of documents) await layout.add(document.descriptor, async () => streamOf(document))
  if (!platforms.some(({ manifest }) => manifest.descriptor.digest === root.digest))
    await layout.add(root, async () => streamOf(await images.document(repository, root.digest, signal)))
  layout.tag(root, tag)
  return `${root.digest} is ${tag} in ${dir}`
}

const streamOf = ({ bytes }: JsonBlob): ReadableStream<Uint8Array> => new Blob([bytes]).stream()

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
