import type { Egress, EgressResponse } from "../egress/egress.ts"
import { openRange, StatusError } from "../egress/open-range.ts"
import type { ByteRange } from "../lib/range.ts"
import { readText } from "../lib/stream.ts"
import { type Cid, parseCid } from "./cid.ts"
import { type Endpoint, splitCredentials } from "./credentials.ts"
import type { KuboControl } from "./kubo-control.ts"
import { filePart } from "./multipart.ts"
import type { Added, IpfsNode, NewContent, Pin } from "./node.ts"
import { UnixfsHasher } from "./unixfs.ts"

export interface KuboOptions {
  /** Of the RPC API; a user and password in it are sent as Basic authentication. */
  readonly api: URL
  readonly gateway: URL
  /** Gives up on silence within a second or two. */
  readonly egress: Egress
  /** Waits until an upload has been taken in. */
  readonly uploads: Egress
  /** Everything that is no content. */
  readonly control: KuboControl
}

const MAX_ANSWER_BYTES = 64 * 1024

/**
 * A Kubo node, or the proxy of an IPFS Cluster before one. Content is read through the gateway, whose answers have a
 * length, so that one which ends early is seen; the RPC API ends them as if they were complete.
 */
export class Kubo implements IpfsNode {
  readonly #options: KuboOptions
  readonly #api: Endpoint

  constructor(options: KuboOptions) {
    this.#options = options
    this.#api = splitCredentials(options.api)
  }

  async has(cid: Cid, signal: AbortSignal): Promise<boolean> {
    const headers = { "cache-control": "only-if-cached" }
    const response = await this.#options.egress({ method: "HEAD", url: this.#content(cid), headers }, signal)
    if (response.status === 200) return true
    if (response.status === 412 || response.status === 404) return false
    throw new StatusError(response)
  }

  async open(cid: Cid, range: ByteRange, size: number, signal: AbortSignal): Promise<ReadableStream<Uint8Array>> {
    const { egress } = this.#options
    return await openRange(range, size, (headers) =>
      egress({ method: "GET", url: this.#content(cid), headers }, signal),
    )
  }

  async add({ path, size, profile, name }: NewContent, signal: AbortSignal): Promise<Added> {
    const hasher = new UnixfsHasher(profile)
    let sent = 0
    const part = filePart(path, size, (bytes) => {
      hasher.update(bytes)
      sent += bytes.byteLength
    })
    const url = new URL("/api/v0/add", this.#api.url)
    url.search = new URLSearchParams({
      "cid-version": "1",
      "raw-leaves": "true",
      hash: "sha2-256",
      chunker: `size-${profile.chunkBytes}`,
      "max-file-links": String(profile.links),
      pin: "true",
      "pin-name": name,
      progress: "false",
      quieter: "true",
      "stream-channels": "false",
    }).toString()
    const headers = { "content-type": part.contentType, "content-length": String(part.length) }
    const { authorization } = this.#api
    const request = { method: "POST", url, headers, authorization, body: part.body } as const
    const response = await this.#options.uploads(request, signal)
    const cid = await addedCid(response)
    if (sent < size) throw new Error(`${url.host} answered after ${sent} of the ${size} bytes of an upload`)
    return { cid, expected: hasher.cid() }
  }

  async isPinned(cid: Cid, signal: AbortSignal): Promise<boolean> {
    return await this.#options.control.isPinned(cid, signal)
  }

  async pin(cid: Cid, name: string, signal: AbortSignal): Promise<void> {
    await this.#options.control.pin(cid, name, signal)
  }

  async unpin(cid: Cid, signal: AbortSignal): Promise<void> {
    await this.#options.control.unpin(cid, signal)
  }

  pins(prefix: string, signal: AbortSignal): AsyncIterable<Pin> {
    return this.#options.control.pins(prefix, signal)
  }

  async collect(signal: AbortSignal): Promise<void> {
    await this.#options.control.collect(signal)
  }

  async repoBytes(signal: AbortSignal) {
    return await this.#options.control.repoBytes(signal)
  }

  async isPublic(signal: AbortSignal): Promise<boolean> {
    return await this.#options.control.isPublic(signal)
  }

  /** With a file name, so that the gateway need not look into the content to find its type. */
  #content(cid: Cid): URL {
    return new URL(`/ipfs/${cid}?filename=blob.bin`, this.#options.gateway)
  }
}

/** The last line is the root's: `{"Name":...,"Hash":"bafy...","Size":...}`. */
async function addedCid(response: EgressResponse): Promise<Cid> {
  const text = response.body === null ? "" : await readText(response.body, MAX_ANSWER_BYTES)
  if (response.status !== 200)
    throw new Error(`${response.url.host} answered ${response.status} to an upload: ${text.slice(0, 200)}`)
  const hash = /"Hash"\s*:\s*"([A-Za-z0-9]+)"[^{}]*\}\s*\]?\s*$/.exec(text)?.[1] ?? ""
  const cid = parseCid(hash)
  if (cid === null) throw new Error(`${response.url.host} did not tell the CID of an upload: ${text.slice(0, 200)}`)
  return cid
}
