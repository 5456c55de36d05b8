import type { FileBlob } from "../blob/blob.ts"
import type { Breaker } from "../lib/breaker.ts"
import type { Clock } from "../lib/clock.ts"
import type { Digest } from "../oci/digest.ts"
import type { Logger } from "../telemetry/log.ts"
import type { Metrics } from "../telemetry/metrics.ts"
import type { Cid } from "./cid.ts"
import type { CidIndex } from "./cid-index.ts"
import type { IpfsNode } from "./node.ts"
import { formatPinName } from "./pin-name.ts"
import type { Profile } from "./unixfs.ts"

export interface PublishPolicy {
  readonly concurrency: number
  readonly queueEntries: number
  readonly queueBytes: number
  /** For an upload: so long, and so much per mebibyte. */
  readonly baseMs: number
  readonly perMebibyteMs: number
  /** For a question about a pin. */
  readonly askMs: number
  /** How long the answer to whether the node is public holds. */
  readonly trustMs: number
}

export interface PublisherOptions {
  readonly node: IpfsNode
  readonly index: CidIndex
  readonly profile: Profile
  /** Begins the names of pins. */
  readonly pinPrefix: string
  readonly allowPublicSwarm: boolean
  readonly breaker: Breaker
  readonly policy: PublishPolicy
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: Metrics
  /** Told of every blob that others can have now. Never rejects. */
  readonly published: (file: FileBlob, cid: Cid) => Promise<void>
  /** Told when a blob has left the queue, whatever became of it. */
  readonly settled: (digest: Digest) => void
}

export type Published = "added" | "gone" | "public" | "mismatch" | "unpinned"

const MEBIBYTE = 1024 * 1024

/**
 * Adds blobs to IPFS, from verified files, one after the other. The index is written last: what it names is pinned, and
 * its CID is the one that was computed here. A queue that is full drops what comes; nothing waits for it.
 */
export class Publisher {
  readonly #options: PublisherOptions
  readonly #queue: FileBlob[] = []
  readonly #busy = new Set<Digest>()
  #bytes = 0
  #running = 0
  #isPublic: { readonly answer: boolean; readonly until: number } | null = null
  readonly #shutdown = new AbortController()

  constructor(options: PublisherOptions) {
    this.#options = options
  }

  offer(file: FileBlob): void {
    const { queueBytes, queueEntries } = this.#options.policy
    const { digest, size } = file.descriptor
    const isFull = this.#queue.length >= queueEntries || this.#bytes + size > queueBytes
    if (isFull || this.#busy.has(digest) || size === 0 || this.#shutdown.signal.aborted) {
      if (isFull) this.#count("dropped")
      this.#options.settled(digest)
      return
    }
    this.#busy.add(digest)
    this.#queue.push(file)
    this.#bytes += size
    this.#measure()
    if (this.#running < this.#options.policy.concurrency) void this.#work()
  }

  close(): void {
    this.#shutdown.abort(new DOMException("The process is ending", "AbortError"))
    this.#queue.length = 0
  }

  async #work(): Promise<void> {
    this.#running += 1
    for (let file = this.#queue.shift(); file !== undefined; file = this.#queue.shift()) {
      await this.#publish(file)
      const { digest, size } = file.descriptor
      this.#bytes -= size
      this.#busy.delete(digest)
      this.#options.settled(digest)
      this.#measure()
    }
    this.#running -= 1
  }

  async #publish(file: FileBlob): Promise<void> {
    const { breaker, log } = this.#options
    const { digest } = file.descriptor
    try {
      this.#count((await breaker.run(() => this.publish(file))) ?? "skipped")
    } catch (error) {
      this.#count("error")
      log.warn("cannot add blob to IPFS", { digest, error })
    }
  }

  /**
   * Adds it now. `gone`: the store has removed it since; `public`: the node looks public, `mismatch`: it cuts content in another way, `unpinned`: it did not keep
   * what it said it had taken; nothing is shared then. Rejects when the node fails.
   */
  async publish(file: FileBlob): Promise<Published> {
    const { index, log, node, pinPrefix, policy, profile, published } = this.#options
    const { digest, mediaType, size } = file.descriptor
    if (!(await Bun.file(file.path).exists())) return "gone"
    if (!(await this.#mayPublish())) return "public"
    const content = { path: file.path, size, profile, name: formatPinName(pinPrefix, { digest, size }) }
    const uploadMs = policy.baseMs + (size / MEBIBYTE) * policy.perMebibyteMs
    const { cid, expected } = await node.add(content, this.#within(uploadMs))
    if (cid !== expected) {
      log.warn("the IPFS node cut a blob differently, it is not shared", { digest, cid, expected })
      await node.unpin(cid, this.#within(policy.askMs))
      return "mismatch"
    }
    if (!(await node.isPinned(cid, this.#within(policy.askMs)))) return "unpinned"
    await index.put({ digest, cid, size, mediaType })
    await published(file, cid)
    log.debug("added blob to IPFS", { digest, cid, bytes: size })
    return "added"
  }

  /** Layers may be private: a node that strangers can find gets none unless that is wanted. */
  async #mayPublish(): Promise<boolean> {
    const { allowPublicSwarm, clock, log, node, policy } = this.#options
    if (allowPublicSwarm) return true
    if (this.#isPublic === null || this.#isPublic.until < clock.now()) {
      const answer = await node.isPublic(this.#within(policy.askMs))
      this.#isPublic = { answer, until: clock.now() + policy.trustMs }
      if (answer)
        log.warn(
          'the IPFS node looks public (it has bootstrap peers and routing), so no layers are added to it; run a private swarm, or set "allowPublicSwarm"',
        )
    }
    return !this.#isPublic.answer
  }

  #within(ms: number): AbortSignal {
    return AbortSignal.any([this.#shutdown.signal, AbortSignal.timeout(Math.round(ms))])
  }

  #count(result: string): void {
    this.#options.metrics.ipfsPublished.inc({ result })
  }

  #measure(): void {
    this.#options.metrics.ipfsQueue.set(this.#queue.length)
  }
}
