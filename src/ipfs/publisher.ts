import type { FileBlob } from "../blob/blob.ts"
import { type BackoffPolicy, backoffMs } from "../lib/backoff.ts"
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
  /** How often an upload is tried, and how long it waits after a failure. */
  readonly attempts: number
  readonly retry: Omit<BackoffPolicy, "random">
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
  /** Between 0 and 1. */
  readonly random: () => number
  readonly log: Logger
  readonly metrics: Metrics
  /** Told of every blob that others can have now. Never rejects. */
  readonly published: (file: FileBlob, cid: Cid) => Promise<void>
  /** Told when a blob can be had or the first attempt to add it has failed: nobody need wait for it any longer. */
  readonly settled: (digest: Digest) => void
}

interface Waiting {
  readonly file: FileBlob
  readonly failures: number
}

export type Published = "added" | "gone" | "public" | "mismatch" | "unpinned"

const MEBIBYTE = 1024 * 1024
/** What may be different the next time. */
const PASSING: ReadonlySet<Published | "error" | "skipped"> = new Set(["error", "skipped", "unpinned"] as const)

/**
 * Adds blobs to IPFS, from verified files, one after the other. The index is written last: what it names is pinned, and
 * its CID is the one that was computed here. What fails is tried again after a while, a few times. A queue that is full
 * drops what comes; nothing waits for it.
 */
export class Publisher {
  readonly #options: PublisherOptions
  readonly #queue: Waiting[] = []
  /** In the queue, being added, and waiting for another attempt. */
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
    const isFull = this.#busy.size - this.#running >= queueEntries || this.#bytes + size > queueBytes
    if (isFull || this.#busy.has(digest) || size === 0 || this.#shutdown.signal.aborted) {
      if (isFull) this.#count("dropped")
      this.#options.settled(digest)
      return
    }
    this.#busy.add(digest)
    this.#bytes += size
    this.#enqueue({ file, failures: 0 })
  }

  close(): void {
    this.#shutdown.abort(new DOMException("The process is ending", "AbortError"))
    this.#queue.length = 0
  }

  #enqueue(waiting: Waiting): void {
    this.#queue.push(waiting)
    this.#measure()
    if (this.#running < this.#options.policy.concurrency) void this.#work()
  }

  async #work(): Promise<void> {
    this.#running += 1
    for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
      const { file, failures } = next
      const result = await this.#attempt(next)
      this.#count(result)
      if (failures === 0) this.#options.settled(file.descriptor.digest)
      if (PASSING.has(result)) void this.#retry({ file, failures: failures + 1 })
      else this.#leave(file)
      this.#measure()
    }
    this.#running -= 1
  }

  async #attempt({ failures, file }: Waiting): Promise<Published | "error" | "skipped"> {
    const { breaker, log } = this.#options
    try {
      return (await breaker.run(() => this.publish(file))) ?? "skipped"
    } catch (error) {
      const tell = failures === 0 ? log.warn : log.debug
      tell("cannot add blob to IPFS", { digest: file.descriptor.digest, error })
      return "error"
    }
  }

  async #retry(waiting: Waiting): Promise<void> {
    const { clock, policy, random } = this.#options
    const { signal } = this.#shutdown
    if (waiting.failures >= policy.attempts) {
      this.#count("dropped")
      return this.#leave(waiting.file)
    }
    const waitMs = backoffMs(waiting.failures, { ...policy.retry, random })
    await clock.sleep(waitMs, signal).catch(() => {})
    if (signal.aborted) this.#leave(waiting.file)
    else this.#enqueue(waiting)
  }

  #leave({ descriptor: { digest, size } }: FileBlob): void {
    this.#bytes -= size
    this.#busy.delete(digest)
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
