import type { Egress, EgressRequest, EgressResponse } from "../egress/egress.ts"
import { isRecord } from "../lib/record.ts"
import { readText } from "../lib/stream.ts"
import type { Descriptor } from "../oci/descriptor.ts"
import type { Cid } from "./cid.ts"
import { type Endpoint, splitCredentials } from "./credentials.ts"

export interface ClusterOptions {
  /** Of a peer's REST API; a user and password in it are sent as Basic authentication. */
  readonly url: URL
  /** 0: the cluster's own default. */
  readonly replicationMin: number
  readonly replicationMax: number
  /** Milliseconds; 0 is for ever. */
  readonly expireInMs: number
  readonly egress: Egress
}

/** Ids are multihashes in base58 or CIDs (libp2p, "Peer Ids"). */
const PEER = /^[A-Za-z0-9]{20,120}$/
const MAX_ANSWER_BYTES = 1024 * 1024

/** Replication by an IPFS Cluster, through the REST API of one of its peers. */
export class IpfsCluster {
  readonly #options: ClusterOptions
  readonly #endpoint: Endpoint
  #peer: string | null = null

  constructor(options: ClusterOptions) {
    this.#options = options
    this.#endpoint = splitCredentials(options.url)
  }

  /**
   * Asks for replicas. The peer asked is always among their holders: one that is not unpins what its node has. Resolves
   * when the cluster has taken the wish, before any replica is there. Rejects with Error.
   */
  async pin(cid: Cid, name: string, { digest, mediaType, size }: Descriptor, signal: AbortSignal): Promise<void> {
    const { expireInMs, replicationMax, replicationMin } = this.#options
    const peer = await this.peer(signal)
    const query = new URLSearchParams({
      name,
      "user-allocations": peer,
      "meta-digest": digest,
      "meta-mediatype": mediaType,
      "meta-size": String(size),
      ...(replicationMin === 0 ? {} : { "replication-min": String(replicationMin) }),
      ...(replicationMax === 0 ? {} : { "replication-max": String(replicationMax) }),
      ...(expireInMs === 0 ? {} : { "expire-in": `${Math.round(expireInMs / 1000)}s` }),
    })
    await this.#ask("POST", `/pins/${cid}?${query}`, signal).catch((error) => {
      this.#peer = null // it may be another one by now
      throw error
    })
  }

  /** It is no error if the cluster did not know it. Rejects with Error. */
  async unpin(cid: Cid, signal: AbortSignal): Promise<void> {
    await this.#ask("DELETE", `/pins/${cid}`, signal, 404)
  }

  /** Id of the peer whose API this is. Rejects with Error. */
  async peer(signal: AbortSignal): Promise<string> {
    if (this.#peer !== null) return this.#peer
    const answer = await this.#ask("GET", "/id", signal)
    const id = isRecord(answer) ? answer["id"] : null
    if (typeof id !== "string" || !PEER.test(id))
      throw new Error(`${this.#endpoint.url.host} did not tell its id; is it the REST API of an IPFS Cluster?`)
    this.#peer = id
    return id
  }

  /** Null: there is no such thing, and `absent` is the status that says so. */
  async #ask(method: EgressRequest["method"], path: string, signal: AbortSignal, absent = 0): Promise<unknown> {
    const { authorization, url } = this.#endpoint
    const response = await this.#options.egress({ method, url: new URL(path, url), authorization }, signal)
    const text = response.body === null ? "" : await readText(response.body, MAX_ANSWER_BYTES)
    if (response.status === absent) return null
    if (response.status >= 300) throw refused(response, text)
    return text === "" ? null : parsed(text, response)
  }
}

function parsed(text: string, { url }: EgressResponse): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new Error(`IPFS Cluster at ${url.host} answered no JSON: ${text.slice(0, 200)}`)
  }
}

const refused = ({ status, url }: EgressResponse, text: string): Error =>
  new Error(`IPFS Cluster at ${url.host} answered ${status}: ${text.slice(0, 200)}`)
