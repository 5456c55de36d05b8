import { LRUCache } from "lru-cache"
import type { BlobSource, BytesBlob, ColdBlob, LocatedBlob } from "../blob/blob.ts"
import type { Downloads } from "../blob/downloads.ts"
import type { Clock } from "../lib/clock.ts"
import { inTime } from "../lib/in-time.ts"
import { SingleFlight } from "../lib/single-flight.ts"
import type { JsonBlob } from "../oci/descriptor.ts"
import type { Digest } from "../oci/digest.ts"
import { passingCulprit, RegistryError } from "../oci/error.ts"
import { isIndexType, isManifestType } from "../oci/media-type.ts"
import type { ImageSpec } from "../spec/spec.ts"
import type { BlobStore, DocumentStore } from "../store/store.ts"
import type { Logger } from "../telemetry/log.ts"
import type { Metrics } from "../telemetry/metrics.ts"
import type { BlobEntry } from "./blob-entry.ts"
import type { Composer, Composition, ServedImage } from "./composer.ts"
import { explainComposition } from "./explain.ts"
import type { Facade, NamedImage } from "./facade.ts"
import { heldBytes } from "./held-bytes.ts"
import { contains, type RecentImages } from "./recent-images.ts"
import type { SpecLookup } from "./spec-lookup.ts"

/** What changes with the configuration. */
export interface Revision {
  readonly specs: SpecLookup
  readonly composer: Composer
  readonly recent: RecentImages
}

export interface ImagesOptions {
  /** The one in use now. What has begun with one ends with it. */
  readonly revision: () => Revision
  readonly log: Logger
  readonly store: BlobStore & DocumentStore
  /** Places to look in before the sources of a layer are asked, nearest first; the store is not among them. */
  readonly caches: readonly BlobSource[]
  readonly downloads: Downloads
  readonly metrics: Metrics
  readonly clock: Clock
  /** How long a client waits for an image to be composed before it is told to come back. */
  readonly patienceMs: number
}

interface Current {
  readonly key: string
  readonly composer: Composer
  readonly composition: Composition
}

/** Of images as they are now; what does not fit is composed again when it is asked for. */
const MEMORY_BYTES = 32 * 1024 * 1024

/** Names to images: composed when first asked for, again when something they are made of has changed. */
export class Images implements Facade {
  readonly #options: ImagesOptions
  readonly #current = new LRUCache<string, Current>({
    maxSize: MEMORY_BYTES,
    sizeCalculation: ({ composition }) => heldBytes(composition),
  })
  readonly #composing = new WeakMap<Composer, SingleFlight<string, Composition>>()

  readonly #isNamed = async (name: string) => await this.knows(name, new AbortController().signal)

  constructor(options: ImagesOptions) {
    this.#options = options
  }

  async knows(name: string, signal: AbortSignal): Promise<boolean> {
    return (await this.#options.revision().specs.find(name, signal)) !== null
  }

  async image(name: string, signal: AbortSignal): Promise<NamedImage> {
    const { root, single, staleReferences } = await this.composition(name, signal)
    const stale = staleReferences()
    if (stale.length > 0) this.#options.metrics.staleServed.inc()
    return { root, single, stale }
  }

  async document(name: string, digest: Digest, signal: AbortSignal): Promise<JsonBlob> {
    const document = (await this.#containing(name, digest, signal))?.documents.get(digest)
    if (document !== undefined && isManifest(document)) return document
    throw new RegistryError(
      "MANIFEST_UNKNOWN",
      `Cannot find manifest ${digest} in ${name}: it belongs to no current or recent image of that name`,
    )
  }

  smallBlob(name: string, digest: Digest): BytesBlob | null {
    const { metrics, revision, store } = this.#options
    const descriptor = revision().recent.find(name, digest, this.#isNamed)?.blobs.get(digest)?.descriptor
    const bytes = descriptor === undefined ? null : store.readVerified(descriptor)
    if (descriptor === undefined || bytes === null) return null
    metrics.blobRequests.inc({ source: "disk", outcome: "hit" })
    return this.#served(name, "disk", { kind: "bytes", descriptor, bytes })
  }

  async blob(name: string, digest: Digest, signal: AbortSignal): Promise<LocatedBlob> {
    const composition = await this.#containing(name, digest, signal)
    const document = composition?.documents.get(digest)
    if (document !== undefined && !isManifest(document))
      return this.#served(name, "config", { kind: "bytes", ...document })
    const entry = composition?.blobs.get(digest)
    if (entry === undefined) {
      throw new RegistryError(
        "BLOB_UNKNOWN",
        `Cannot find blob ${digest} in ${name}: it belongs to no current or recent image of that name`,
      )
    }
    const { caches, downloads, store } = this.#options
    const { descriptor } = entry
    const file = store.findVerified(descriptor)
    this.#options.metrics.blobRequests.inc({ source: "disk", outcome: file === null ? "miss" : "hit" })
    if (file !== null) return this.#served(name, "disk", file)
    const obtain: ColdBlob["obtain"] = async (opener, how) => {
      const kept = await store.find(descriptor, opener)
      if (kept !== null) return this.#served(name, "disk", kept)
      const sources = [...caches, ...(await this.#sources(name, entry, opener))]
      const obtained = downloads
        .cold(descriptor, sources)
        .obtain(opener, how)
        .catch((error) => {
          const fields = { name, baseRef: entry.from, digest, error }
          if (!opener.aborted) this.#options.log.error("unable to return blob", fields, passingCulprit(error))
          throw error
        })
      return this.#served(name, "transfer", await obtained)
    }
    return { kind: "cold", descriptor, obtain }
  }

  /** Of a recalled image is not known how its own layers were made; the image that the name stands for now tells it. */
  async #sources(
    name: string,
    { descriptor, sources }: BlobEntry,
    signal: AbortSignal,
  ): Promise<readonly BlobSource[]> {
    if (sources.length > 0) return sources
    return (await this.#composed(name, signal))?.blobs.get(descriptor.digest)?.sources ?? []
  }

  /** What the name stands for now, with everything in it. Rejects NAME_UNKNOWN. */
  async composition(name: string, signal: AbortSignal): Promise<Composition> {
    const { composer, recent, specs } = this.#options.revision()
    const spec = await specs.demand(name, signal)
    const known = this.#current.get(name)
    const isCurrent = known?.key === spec.key && known.composer === composer && known.composition.isCurrent()
    const composition = isCurrent ? known.composition : await this.#compose(name, spec, composer, signal)
    recent.remember(name, composition)
    return composition
  }

  /** Null: the name is unknown, or its images do not contain the digest; the difference is nobody's business. */
  async #containing(name: string, digest: Digest, signal: AbortSignal): Promise<ServedImage | null> {
    const { recent } = this.#options.revision()
    const known = recent.find(name, digest, this.#isNamed) ?? (await recent.recall(name, digest))
    if (known !== null) return known
    const composition = await this.#composed(name, signal)
    return composition !== null && contains(composition, digest) ? composition : null
  }

  /** Null: the name is unknown. */
  async #composed(name: string, signal: AbortSignal): Promise<Composition | null> {
    try {
      return await this.composition(name, signal)
    } catch (error) {
      if (error instanceof RegistryError && error.code === "NAME_UNKNOWN") return null
      throw error
    }
  }

  /** Which source a transfer has used, it tells itself. */
  #served<Blob extends LocatedBlob>(name: string, source: "config" | "disk" | "transfer", blob: Blob): Blob {
    this.#options.log.debug("serving blob", { name, digest: blob.descriptor.digest, source })
    return blob
  }

  async #compose(name: string, spec: ImageSpec, composer: Composer, signal: AbortSignal): Promise<Composition> {
    const { log, store } = this.#options
    const compose = async (flight: AbortSignal) => {
      const composition = await composer.compose(spec, flight)
      this.#current.set(name, { key: spec.key, composer, composition })
      for (const document of composition.documents.values()) void store.put(document)
      log.debug("composed image", { name, ...explainComposition(composition) })
      return composition
    }
    const flights = this.#flightsOf(composer)
    const composing = flights.run(`${name}\n${spec.key}`, compose, signal)
    return await inTime(composing, this.#options, () => this.#late(name, spec))
  }

  #flightsOf(composer: Composer): SingleFlight<string, Composition> {
    const flights = this.#composing.get(composer) ?? new SingleFlight<string, Composition>()
    this.#composing.set(composer, flights)
    return flights
  }

  /** Composing goes on, so that the client finds more of it done when it comes back. */
  #late(name: string, { baseText }: ImageSpec): RegistryError {
    const seconds = Math.round(this.#options.patienceMs / 1000)
    const message = `Cannot compose ${name} on ${baseText} yet: its sources took more than ${seconds} s, try again`
    return new RegistryError("UNAVAILABLE", message, { retryAfterSeconds: 2 })
  }
}

const isManifest = ({ descriptor: { mediaType } }: JsonBlob): boolean =>
  isManifestType(mediaType) || isIndexType(mediaType)
