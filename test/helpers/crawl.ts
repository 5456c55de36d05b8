import type { RunningFacade } from "./facade.ts"
import { sha256 } from "./images.ts"
import type { ConfigJson, ManifestJson, Pointer } from "./oci-layout.ts"

/** An image as a client that takes everything sees it. */
export interface Crawled {
  /** The digest that the tag stands for. */
  readonly digest: string
  /** Of everything that can be reached from there, sorted. */
  readonly digests: readonly string[]
  readonly manifests: readonly (ManifestJson & { readonly digest: string })[]
  readonly configs: readonly ConfigJson[]
}

/** Fetches all that an image consists of. Rejects when anything is missing, or is not what its descriptor says. */
export async function crawl(facade: RunningFacade, name: string): Promise<Crawled> {
  const seen = new Set<string>()
  const manifests: (ManifestJson & { digest: string })[] = []
  const configs: ConfigJson[] = []
  const follow = async (pointer: Pointer): Promise<void> => {
    if (seen.has(pointer.digest)) return
    seen.add(pointer.digest)
    const isManifest = /manifest|index/.test(pointer.mediaType)
    const bytes = await fetchChecked(facade, `/v2/fixed/${name}/${isManifest ? "manifests" : "blobs"}`, pointer)
    if (pointer.mediaType.includes("config") || pointer.mediaType.includes("container.image")) {
      configs.push(JSON.parse(bytes.toString()))
    }
    if (!isManifest) return
    const manifest: ManifestJson = JSON.parse(bytes.toString())
    manifests.push({ ...manifest, digest: pointer.digest })
    for (const next of manifest.manifests ?? [manifest.config, ...manifest.layers]) await follow(next)
  }
  const head = await facade.get(`/v2/fixed/${name}/manifests/latest`, { method: "HEAD" })
  const digest = head.headers.get("docker-content-digest") ?? ""
  const mediaType = head.headers.get("content-type") ?? ""
  await follow({ mediaType, digest, size: Number(head.headers.get("content-length")) })
  return { digest, digests: [...seen].sort(), manifests, configs }
}

async function fetchChecked(facade: RunningFacade, path: string, { digest, size }: Pointer): Promise<Buffer> {
  const url = `${path}/${digest}`
  const head = await facade.get(url, { method: "HEAD" })
  const length = Number(head.headers.get("content-length"))
  if (head.status !== 200 || length !== size) throw new Error(`HEAD ${url}: ${head.status}, ${length} bytes of ${size}`)
  const response = await facade.get(url)
  const bytes = Buffer.from(await response.arrayBuffer())
  if (response.status !== 200) throw new Error(`GET ${url}: ${response.status} ${bytes}`)
  if (bytes.byteLength !== size || sha256(bytes) !== digest) throw new Error(`GET ${url}: other bytes`)
  return bytes
}
