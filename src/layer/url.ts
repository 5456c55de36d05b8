import { type BlobSource, openAt, type StreamBlob } from "../blob/blob.ts"
import type { Downloads } from "../blob/downloads.ts"
import { failedRequest } from "../egress/answer.ts"
import type { Egress } from "../egress/egress.ts"
import { openRange, type Send, StatusError } from "../egress/open-range.ts"
import type { KeyValue } from "../lib/key-value.ts"
import { redactUrl } from "../lib/redact.ts"
import { SingleFlight } from "../lib/single-flight.ts"
import type { Descriptor } from "../oci/descriptor.ts"
import { type DiffID, uncompressedDiffID } from "../oci/digest.ts"
import { layerCompression, OCTET_STREAM } from "../oci/media-type.ts"
import { layerDescriptor, layerFault, parseFacts, printFacts } from "./import-layer.ts"
import { inspectLayer, type LayerFacts } from "./inspect.ts"
import type { Contribution, LayerSource, UrlLayerRequest } from "./layer.ts"

export interface UrlLayerOptions {
  readonly egress: Egress
  readonly downloads: Downloads
  /** A blob that is in the store already. */
  readonly store: Pick<BlobSource, "find">
  readonly facts: KeyValue
}

/** An archive behind a URL, pinned by its digest. What the spec does not tell of it is found out by fetching it once. */
export class UrlLayerSource implements LayerSource<UrlLayerRequest> {
  readonly kind = "url"
  readonly #options: UrlLayerOptions
  readonly #flights = new SingleFlight<string, LayerFacts>()

  constructor(options: UrlLayerOptions) {
    this.#options = options
  }

  async contribute(request: UrlLayerRequest, _platform: unknown, signal: AbortSignal): Promise<Contribution> {
    const source = urlSource(request, this.#options.egress)
    try {
      const { descriptor, diffID } = await this.#identify(request, source, signal)
      const layer = { descriptor, diffID, createdBy: `registry-facade: ${request.text}`, sources: [source], from: null }
      return { layers: [layer], env: [], isCurrent: () => true }
    } catch (error) {
      signal.throwIfAborted()
      throw layerFault(request.text, error)
    }
  }

  async #identify(
    request: UrlLayerRequest,
    source: BlobSource,
    signal: AbortSignal,
  ): Promise<{ descriptor: Descriptor; diffID: DiffID }> {
    const { digest, mediaType, size } = request
    const diffID =
      request.diffID ??
      (mediaType !== null && layerCompression(mediaType) === "none" ? uncompressedDiffID(digest) : null)
    if (mediaType !== null && size !== null && diffID !== null)
      return { descriptor: { mediaType, digest, size }, diffID }
    const known = parseFacts(await this.#options.facts.get(digest))
    const facts =
      known ??
      (await this.#flights.run(`${digest} ${request.url}`, (flight) => this.#inspect(request, source, flight), signal))
    if (diffID !== null && diffID !== facts.diffID) throw new TypeError(`its diffId is ${facts.diffID}, not ${diffID}`)
    return { descriptor: layerDescriptor(facts), diffID: facts.diffID }
  }

  /** The bytes go through the same transfer and store as any pull, so they are verified, and fetched only once. */
  async #inspect(request: UrlLayerRequest, source: BlobSource, signal: AbortSignal): Promise<LayerFacts> {
    const { downloads, egress, facts, store } = this.#options
    const { digest, size } = request
    const length = size ?? (await contentLength(egress, request, signal))
    const descriptor = { mediaType: OCTET_STREAM, digest, size: length }
    const blob = (await store.find(descriptor, signal)) ?? (await downloads.cold(descriptor, [source]).obtain(signal))
    const found = await inspectLayer(await openAt(blob, 0, signal), async () => {}, signal)
    if (found.digest !== digest && digest.startsWith("sha256:"))
      throw new TypeError(`its bytes have the digest ${found.digest}`)
    const checked = { ...found, digest }
    await facts.set(digest, printFacts(checked))
    return checked
  }
}

/** Asked with a range instead of HEAD, because URLs are often signed for GET alone. */
async function contentLength(egress: Egress, { url, text }: UrlLayerRequest, signal: AbortSignal): Promise<number> {
  const what = `Cannot add layer ${text}`
  const response = await egress({ method: "GET", url, headers: { range: "bytes=0-0" } }, signal).catch((error) => {
    signal.throwIfAborted()
    throw failedRequest(what, url.host, error)
  })
  const { body, headers, status } = response
  await body?.cancel()
  if (status !== 200 && status !== 206) throw failedRequest(what, url.host, new StatusError(response))
  const total =
    status === 206 ? /\/(\d+)$/.exec(headers.get("content-range") ?? "")?.[1] : headers.get("content-length")
  if (total === null || total === undefined)
    throw new Error(`${url.host} answered ${status} without telling the size; give "size"`)
  return Number(total)
}

function urlSource({ url, text }: UrlLayerRequest, egress: Egress): BlobSource {
  const what = `Cannot get ${redactUrl(url)}`
  const open: (size: number) => StreamBlob["open"] = (size) => async (range, signal) => {
    const send: Send = (headers) => egress({ method: "GET", url, headers }, signal)
    return await openRange(range, size, send).catch((error) => Promise.reject(failedRequest(what, url.host, error)))
  }
  const find = async (descriptor: Descriptor): Promise<StreamBlob> => ({
    kind: "stream",
    descriptor,
    open: open(descriptor.size),
  })
  return { name: "content", origin: text, identity: url.href, find }
}
