import { type BlobSource, openAt } from "../blob/blob.ts"
import type { Downloads } from "../blob/downloads.ts"
import type { Clock } from "../lib/clock.ts"
import { inTime } from "../lib/in-time.ts"
import type { KeyValue } from "../lib/key-value.ts"
import { SingleFlight } from "../lib/single-flight.ts"
import { readBytes } from "../lib/stream.ts"
import { MAX_CONFIG_BYTES } from "../oci/config.ts"
import type { Descriptor, JsonBlob } from "../oci/descriptor.ts"
import { type Digest, isDigest } from "../oci/digest.ts"
import { passingCulprit, RegistryError } from "../oci/error.ts"
import { manifestBlob } from "../oci/manifest.ts"
import { isIndexType, isManifestType } from "../oci/media-type.ts"
import { formatReference } from "../oci/reference.ts"
import type { DocumentStore } from "../store/store.ts"
import type { Fields, Logger } from "../telemetry/log.ts"
import type { UpstreamPolicy } from "../upstream/policy.ts"
import type { ImageReader, StoredReference, Upstream } from "../upstream/upstream.ts"
import type { ImageMemory, ResolvedTag } from "./image-memory.ts"

export interface TagLifetimes {
  readonly tagTtlMs: number
  /** How long a known tag is served while its upstream fails. */
  readonly staleIfErrorMs: number
}

export interface CachedImagesOptions {
  readonly upstream: Upstream
  readonly policy: UpstreamPolicy
  readonly documents: DocumentStore
  readonly downloads: Downloads
  readonly clock: Clock
  readonly log: Logger
  /** What tags were resolved to, also by earlier processes. */
  readonly tags: KeyValue
  /** As they are configured now. */
  readonly lifetimes: () => TagLifetimes
  /** How long an upstream may take where a known tag could be served. */
  readonly staleAfterMs: number
  /** How soon an upstream that fails is asked again for a tag that is served as it was. */
  readonly staleAgainMs: number
  /** What earlier readers of the same images have read. */
  readonly memory: ImageMemory
}

interface Wanted {
  readonly reference: StoredReference
  readonly digest: Digest
  /** Null: a manifest, which tells by itself what it is. */
  readonly descriptor: Descriptor | null
}

/** How exact the time of the last answer is on disk. */
const NOTE_MS = 10 * 60_000

/** Images of upstreams: a tag is resolved once per TTL, a document is fetched once, whoever asks. */
export class CachedImages implements ImageReader {
  readonly #options: CachedImagesOptions
  readonly #resolving = new SingleFlight<string, JsonBlob>()
  readonly #asking = new SingleFlight<string, JsonBlob>()
  readonly #reading = new SingleFlight<string, JsonBlob>()

  constructor(options: CachedImagesOptions) {
    this.#options = options
  }

  get #memory(): ImageMemory {
    return this.#options.memory
  }

  isFresh(reference: StoredReference): boolean {
    if (reference.digest !== null) return true
    const known = this.#memory.tags.get(formatReference(reference))
    return known !== undefined && this.#holds(known)
  }

  isStale(reference: StoredReference): boolean {
    return reference.digest === null && this.#memory.tags.get(formatReference(reference))?.isStale === true
  }

  async root(reference: StoredReference, signal: AbortSignal): Promise<JsonBlob> {
    this.#options.policy(reference)
    if (reference.digest !== null) return await this.#manifest(reference, reference.digest, signal)
    const name = formatReference(reference)
    const known = this.#memory.tags.get(name)
    if (known !== undefined && this.#holds(known)) return known.root
    return await this.#resolving.run(name, (flight) => this.#resolve(reference, flight), signal)
  }

  async document(reference: StoredReference, descriptor: Descriptor, signal: AbortSignal): Promise<JsonBlob> {
    const { digest, mediaType } = descriptor
    if (isManifestType(mediaType) || isIndexType(mediaType)) return await this.#manifest(reference, digest, signal)
    const load = (flight: AbortSignal) => this.#fetchConfig(reference, descriptor, flight)
    return await this.#cached({ reference, digest, descriptor }, load, signal)
  }

  blobs(reference: StoredReference): readonly BlobSource[] {
    return this.#options.upstream.blobs(reference)
  }

  /** True: nothing is asked yet. */
  #holds({ askedAt, isStale }: ResolvedTag): boolean {
    const { clock, lifetimes, staleAgainMs } = this.#options
    return clock.now() - askedAt < (isStale ? staleAgainMs : lifetimes().tagTtlMs)
  }

  /** Asks the upstream; while that fails, what it said last holds for a while. */
  async #resolve(reference: StoredReference, signal: AbortSignal): Promise<JsonBlob> {
    const name = formatReference(reference)
    const known = this.#memory.tags.get(name) ?? null
    const { clock, log, staleAfterMs } = this.#options
    const asking = this.#asking.run(name, (flight) => this.#news(reference, known, flight), signal)
    asking.catch(() => {}) // it may go on after somebody has been served
    const stale = await this.#remembered(reference, known)
    try {
      const patience = { clock, patienceMs: staleAfterMs }
      return stale === null ? await asking : await inTime(asking, patience, () => late(reference, staleAfterMs))
    } catch (error) {
      signal.throwIfAborted()
      if (stale === null || !(error instanceof RegistryError) || !error.mayPass) {
        this.#tell("cannot resolve", { reference: name }, error)
        throw error
      }
      log.warn("upstream fails, serving a tag as it was", { reference: name, error }, error.culprit)
      this.#memory.tags.set(name, { ...stale, isStale: true, askedAt: clock.now() })
      return stale.root
    }
  }

  /** What the upstream says, which is remembered. */
  async #news(reference: StoredReference, known: ResolvedTag | null, signal: AbortSignal): Promise<JsonBlob> {
    const name = formatReference(reference)
    try {
      const root = await this.#ask(reference, known, signal)
      await this.#learn(name, root, known)
      return root
    } catch (error) {
      if (isUnknown(error)) this.#forget(name)
      throw error
    }
  }

  async #ask(reference: StoredReference, known: ResolvedTag | null, signal: AbortSignal): Promise<JsonBlob> {
    const { upstream } = this.#options
    const answer = known === null ? "unclear" : await upstream.head(reference, signal)
    if (known !== null && answer === known.root.descriptor.digest) return known.root
    const root = answer === "gone" ? null : await upstream.resolve(reference, signal)
    if (root === null) throw unknown(reference)
    return root
  }

  async #learn(name: string, root: JsonBlob, known: ResolvedTag | null): Promise<void> {
    const { clock, tags } = this.#options
    const resolvedAt = Date.now()
    const isNoted = root === known?.root && resolvedAt - known.notedAt < NOTE_MS
    const notedAt = isNoted ? known.notedAt : resolvedAt
    this.#memory.tags.set(name, { root, resolvedAt, notedAt, isStale: false, askedAt: clock.now() })
    if (isNoted) return
    this.#remember(root)
    const { digest, mediaType, size } = root.descriptor
    await tags.set(name, `${resolvedAt} ${digest} ${mediaType} ${size}`)
  }

  #forget(name: string): void {
    this.#memory.tags.delete(name)
    void this.#options.tags.set(name, "")
  }

  /** Null: the tag was not resolved lately enough, or its manifest is no longer here. */
  async #remembered(reference: StoredReference, known: ResolvedTag | null): Promise<ResolvedTag | null> {
    const { documents, lifetimes, tags } = this.#options
    const oldest = Date.now() - lifetimes().staleIfErrorMs
    if (known !== null) return known.resolvedAt >= oldest ? known : null
    const [time = "", digest = ""] = (await tags.get(formatReference(reference)))?.split(" ") ?? []
    if (!isDigest(digest) || !(Number(time) >= oldest)) return null
    const bytes = await documents.get(digest)
    const root = bytes === null ? null : restored(digest, null, bytes)
    const [resolvedAt, notedAt, askedAt] = [Number(time), Number(time), Number.NEGATIVE_INFINITY]
    return root === null ? null : { root, resolvedAt, notedAt, askedAt, isStale: true }
  }

  async #manifest(reference: StoredReference, digest: Digest, signal: AbortSignal): Promise<JsonBlob> {
    const load = async (flight: AbortSignal) => {
      try {
        const manifest = await this.#options.upstream.manifest(reference, digest, flight)
        if (manifest === null) throw unknown({ ...reference, digest })
        return manifest
      } catch (error) {
        // An image that lacks one of its platforms has others
        const isPlatform = isUnknown(error) && digest !== reference.digest
        const fields = { reference: formatReference(reference), digest }
        if (!flight.aborted && !isPlatform) this.#tell("cannot download manifest", fields, error)
        throw error
      }
    }
    return await this.#cached({ reference, digest, descriptor: null }, load, signal)
  }

  /** Memory, then the store, then whoever has it. */
  async #cached(
    { reference, digest, descriptor }: Wanted,
    load: (signal: AbortSignal) => Promise<JsonBlob>,
    signal: AbortSignal,
  ): Promise<JsonBlob> {
    const known = this.#memory.documents.get(digest)
    if (known !== undefined) return known
    const read = async (flight: AbortSignal) => {
      const bytes = await this.#options.documents.get(digest)
      const kept = bytes === null ? null : restored(digest, descriptor, bytes)
      const document = kept ?? (await load(flight))
      this.#memory.documents.set(digest, document)
      if (kept === null) this.#remember(document)
      return document
    }
    // Another repository may have what this one refuses
    return await this.#reading.run(`${formatReference(reference)}\n${digest}`, read, signal)
  }

  async #fetchConfig(reference: StoredReference, descriptor: Descriptor, signal: AbortSignal): Promise<JsonBlob> {
    if (descriptor.size > MAX_CONFIG_BYTES) {
      const message = `Cannot use image ${formatReference(reference)}: its config is larger than ${MAX_CONFIG_BYTES} bytes`
      throw new RegistryError("MANIFEST_INVALID", message, { status: 502 })
    }
    const { digest, size } = descriptor
    try {
      const blob = await this.#options.downloads.cold(descriptor, this.blobs(reference)).obtain(signal)
      return { descriptor, bytes: await readBytes(await openAt(blob, 0, signal), size) }
    } catch (error) {
      if (!signal.aborted)
        this.#tell("cannot download config", { reference: formatReference(reference), digest }, error)
      throw error
    }
  }

  /** In the original's words, which people's alerts look for. */
  #tell(message: string, fields: Fields, error: unknown): void {
    this.#options.log.error(message, { ...fields, error }, passingCulprit(error))
  }

  #remember(document: JsonBlob): void {
    this.#memory.documents.set(document.descriptor.digest, document)
    void this.#options.documents.put(document)
  }
}

const isUnknown = (error: unknown): boolean => error instanceof RegistryError && error.code === "MANIFEST_UNKNOWN"

function late(reference: StoredReference, afterMs: number): RegistryError {
  const seconds = Math.ceil(afterMs / 1000)
  return new RegistryError("UNAVAILABLE", `Cannot ask for image ${formatReference(reference)} within ${seconds} s`)
}

function unknown(reference: StoredReference): RegistryError {
  const reason =
    reference.kind === "layout"
      ? "the layout has no such image"
      : `${reference.repository.host} answered 404, it has no such image`
  const message = `Cannot find image ${formatReference(reference)}: ${reason}; check the name and the tag`
  return new RegistryError("MANIFEST_UNKNOWN", message)
}

/** Null: what the store has under the digest is no manifest, so it must be something else's. */
function restored(digest: Digest, descriptor: Descriptor | null, bytes: Uint8Array<ArrayBuffer>): JsonBlob | null {
  if (descriptor !== null) return { descriptor, bytes }
  try {
    const blob = manifestBlob(bytes, null)
    return { ...blob, descriptor: { ...blob.descriptor, digest } }
  } catch {
    return null
  }
}
