import type { BlobSource, StreamBlob } from "../blob/blob.ts"
import { failedRequest, refusedAnswer } from "../egress/answer.ts"
import type { EgressResponse } from "../egress/egress.ts"
import { openRange, type Send } from "../egress/open-range.ts"
import { readBytes } from "../lib/stream.ts"
import type { Descriptor, JsonBlob } from "../oci/descriptor.ts"
import { type Digest, digestAlgorithm, digestOf, isDigest } from "../oci/digest.ts"
import { RegistryError } from "../oci/error.ts"
import { MAX_MANIFEST_BYTES, manifestBlob, SchemaOneError } from "../oci/manifest.ts"
import { bareMediaType, MANIFEST_TYPES } from "../oci/media-type.ts"
import { formatReference, formatRepository, type RegistryReference, type Repository } from "../oci/reference.ts"
import { errorText } from "../telemetry/log.ts"
import type { RegistryClient, RegistryRequest } from "./registry-client.ts"
import type { StoredReference, TagAnswer, Upstream } from "./upstream.ts"

const ACCEPT = MANIFEST_TYPES.join(", ")

/** A registry that speaks the distribution API (distribution-spec: "Pull"). */
export class RegistryUpstream implements Upstream {
  readonly #client: RegistryClient

  constructor(client: RegistryClient) {
    this.#client = client
  }

  async resolve(reference: StoredReference, signal: AbortSignal): Promise<JsonBlob | null> {
    const registry = onlyRegistry(reference)
    return await this.#document(registry, registry.tag ?? "latest", null, signal)
  }

  async manifest(reference: StoredReference, digest: Digest, signal: AbortSignal): Promise<JsonBlob | null> {
    return await this.#document(onlyRegistry(reference), digest, digest, signal)
  }

  async head(reference: StoredReference, signal: AbortSignal): Promise<TagAnswer> {
    const registry = onlyRegistry(reference)
    const { repository, tag } = registry
    const what = `Cannot ask for manifest ${formatReference(registry)}`
    const path = `manifests/${tag ?? "latest"}`
    const request = { repository, kind: "manifest", method: "HEAD", path, headers: { accept: ACCEPT }, what } as const
    const { headers, host, status } = await this.#asked(request, signal)
    if (status === 404) return "gone"
    if (status === 405 || status === 501) return "unclear"
    if (status !== 200) throw refusedAnswer(what, host, status, headers)
    const digest = headers.get("docker-content-digest") ?? ""
    return isDigest(digest) ? digest : "unclear"
  }

  async #asked(request: RegistryRequest, signal: AbortSignal) {
    const { body, headers, status, url } = await this.#client.request(request, signal)
    await body?.cancel()
    return { headers, status, host: url.host }
  }

  blobs(reference: StoredReference): readonly BlobSource[] {
    return [registryBlobs(this.#client, onlyRegistry(reference).repository)]
  }

  async #document(
    reference: RegistryReference,
    path: string,
    digest: Digest | null,
    signal: AbortSignal,
  ): Promise<JsonBlob | null> {
    const { repository } = reference
    const named = digest === null ? formatReference(reference) : `${formatRepository(repository)}@${digest}`
    const what = `Cannot get manifest ${named}`
    const headers = { accept: ACCEPT }
    const response = await this.#client.request(
      { repository, kind: "manifest", method: "GET", path: `manifests/${path}`, headers, what },
      signal,
    )
    if (response.status === 404) return await cancelled(response)
    if (response.status !== 200) throw await refused(what, response)
    return await readDocument(what, response, digest)
  }
}

function onlyRegistry(reference: StoredReference): RegistryReference {
  if (reference.kind === "registry") return reference
  throw new TypeError(`Cannot ask a registry for ${formatReference(reference)}`)
}

async function cancelled(response: EgressResponse): Promise<null> {
  await response.body?.cancel()
  return null
}

async function refused(what: string, response: EgressResponse): Promise<RegistryError> {
  await response.body?.cancel()
  return refusedAnswer(what, response.url.host, response.status, response.headers)
}

async function readDocument(what: string, response: EgressResponse, expected: Digest | null): Promise<JsonBlob> {
  const { body, headers, url } = response
  const wrong = (reason: string, cause?: unknown) =>
    new RegistryError("MANIFEST_INVALID", `${what}: ${url.host} sent something that is no manifest, ${reason}`, {
      status: 502,
      cause,
    })
  const bytes = await readBytes(body ?? new Blob([]).stream(), MAX_MANIFEST_BYTES).catch((error) => {
    if (error instanceof RangeError) throw wrong(`it is larger than ${MAX_MANIFEST_BYTES} bytes`)
    throw new RegistryError("UNAVAILABLE", `${what}: ${url.host} broke off: ${errorText(error)}`, {
      culprit: url.host,
      retryAfterSeconds: 2,
      cause: error,
    })
  })
  const announced = expected ?? headers.get("docker-content-digest")
  if (announced !== null && isDigest(announced) && digestOf(bytes, digestAlgorithm(announced)) !== announced) {
    throw new RegistryError("UNAVAILABLE", `${what}: ${url.host} sent other bytes than ${announced}`, {
      status: 502,
      detail: "upstream_integrity",
    })
  }
  const contentType = headers.get("content-type")
  if (contentType !== null && bareMediaType(contentType) === "text/html")
    throw wrong("it is a web page; is the host a registry?")
  try {
    const blob = manifestBlob(bytes, contentType)
    return expected === null ? blob : { ...blob, descriptor: { ...blob.descriptor, digest: expected } }
  } catch (error) {
    if (!(error instanceof SchemaOneError)) throw wrong(errorText(error), error)
    throw new RegistryError("MANIFEST_UNKNOWN", `${what} from ${url.host}: ${error.message}`, { cause: error })
  }
}

/** The blobs of one repository of a registry. */
function registryBlobs(client: RegistryClient, repository: Repository): BlobSource {
  const origin = `${client.host}/${repository.path}`
  const find = async (descriptor: Descriptor): Promise<StreamBlob> => ({
    kind: "stream",
    descriptor,
    open: async (range, signal) => {
      const what = `Cannot get blob ${formatRepository(repository)}@${descriptor.digest}`
      const path = `blobs/${descriptor.digest}`
      const send: Send = (headers) =>
        client.request({ repository, kind: "blob", method: "GET", path, headers, what }, signal)
      return await openRange(range, descriptor.size, send).catch((error) =>
        Promise.reject(failedRequest(what, client.host, error)),
      )
    },
  })
  return { name: "upstream", origin, find }
}
