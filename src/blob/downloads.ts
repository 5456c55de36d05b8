import { LRUCache } from "lru-cache"
import type { Clock } from "../lib/clock.ts"
import { inTime } from "../lib/in-time.ts"
import type { ByteRange } from "../lib/range.ts"
import { Semaphore } from "../lib/semaphore.ts"
import type { Descriptor } from "../oci/descriptor.ts"
import type { Digest } from "../oci/digest.ts"
import { RegistryError } from "../oci/error.ts"
import type { Logger } from "../telemetry/log.ts"
import type { Metrics } from "../telemetry/metrics.ts"
import { type AttemptPolicy, Attempts } from "./attempts.ts"
import type { BlobSource, ColdBlob, FileBlob, ReadyBlob, StreamBlob } from "./blob.ts"
import { Download } from "./download.ts"
import type { DownloadEvents } from "./download-events.ts"
import { HoldBack, type HoldBackPolicy } from "./hold-back.ts"
import { measured } from "./measured.ts"
import { type RampPolicy, ramp } from "./ramp.ts"
import { readDownload, readWhole } from "./read-download.ts"
import type { Reader } from "./readers.ts"
import { RecentFailures } from "./recent-failures.ts"
import type { OpenSpool } from "./spool.ts"
import { Transfer } from "./transfer.ts"
import { isAbandonment } from "./transfer-error.ts"

export interface DownloadPolicy extends Omit<AttemptPolicy & HoldBackPolicy, "clock">, RampPolicy {
  /** How long a client waits for the first byte before it is told to come back; clients give up at 30 s. */
  readonly firstByteMs: number
  /** How long a transfer goes on without readers, unless a quarter of it is here already or little is missing. */
  readonly lingerMs: number
  /** So much may be missing for a transfer to be finished without readers. */
  readonly finishBytes: number
  /** How long a transfer waits for one that has to end first. */
  readonly queueMs: number
  /** How long a failure answers for the same blob without asking the sources again. */
  readonly failureMs: number
  /** How long a source that gave wrong bytes for a blob is passed over for it. */
  readonly distrustMs: number
}

export interface EndedTransfer {
  readonly descriptor: Descriptor
  /** Null: it failed, or could not be kept. */
  readonly file: FileBlob | null
  /** Those that gave bytes. */
  readonly sources: readonly BlobSource[]
}

export interface DownloadsOptions {
  readonly openSpool: OpenSpool
  readonly policy: DownloadPolicy
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: Metrics
  /** Told of every transfer that has ended; returns at once. */
  readonly ended?: (transfer: EndedTransfer) => void
}

/** Answered from memory at once, without waiting for the disk to confirm. */
const TINY_BYTES = 256 * 1024

interface Wanted {
  readonly descriptor: Descriptor
  readonly sources: readonly BlobSource[]
  readonly join: () => Download
}

/** The transfers that are under way: at most one per digest, whoever asks for it and by whichever name. */
export class Downloads {
  readonly #options: DownloadsOptions
  readonly #running = new Map<Digest, Download>()
  /** Also those of single readers, which nobody else can join. */
  readonly #all = new Map<Download, Transfer>()
  readonly #slots: Semaphore
  readonly #failures: RecentFailures
  /** `origin digest` to the time until which that source is not trusted with that blob. */
  readonly #distrusted = new LRUCache<string, number>({ max: 10_000 })
  readonly #shutdown = new AbortController()

  constructor(options: DownloadsOptions) {
    this.#options = options
    this.#failures = new RecentFailures(options.clock, options.policy.failureMs)
    this.#slots = new Semaphore(Math.min(options.policy.firstConcurrency, options.policy.concurrency))
    void ramp(this.#slots, options, this.#shutdown.signal)
  }

  /**
   * A blob that will be fetched from the first of `sources` that has it. No I/O until it is asked for. Apart: by a
   * transfer of its own.
   */
  cold(descriptor: Descriptor, sources: readonly BlobSource[], isApart = false): ColdBlob {
    const join = () => (isApart ? this.#begin(descriptor, sources) : this.#join(descriptor, sources))
    const wanted = { descriptor, sources, join }
    const obtain: ColdBlob["obtain"] = async (signal, how = "checked") => {
      const isWhole = how === "checked" && descriptor.size <= this.#options.policy.verifyFirstBytes
      return isWhole ? await this.#whole(wanted, signal) : this.#arriving(wanted)
    }
    return { kind: "cold", descriptor, obtain }
  }

  /** Ends all transfers; their readers are cut off. */
  shutdown(): void {
    const reason = new RegistryError("UNAVAILABLE", "The registry is shutting down", { retryAfterSeconds: 1 })
    this.#shutdown.abort(reason)
    for (const download of this.#all.keys()) download.abort(reason)
  }

  #arriving({ descriptor, join, sources }: Wanted): StreamBlob {
    const open = async (range: ByteRange, opener: AbortSignal) => {
      const download = join()
      return await this.#held(download, range.start, async () => {
        await this.#inTime(download.started(opener), download)
        return this.#read(download, range, sources, true)
      })
    }
    return { kind: "stream", descriptor, open }
  }

  /** Small enough to be complete before it is answered: then it has a length, and wrong bytes are never seen. */
  async #whole({ descriptor, join, sources }: Wanted, signal: AbortSignal): Promise<ReadyBlob> {
    const download = join()
    return await this.#held(download, 0, async (reader) => {
      if (descriptor.size > TINY_BYTES) {
        const file = await this.#inTime(download.kept(signal), download)
        return file === null ? this.#unkept(download, sources, signal) : { ...file, descriptor }
      }
      await this.#inTime(download.verified(signal), download)
      return { kind: "bytes", descriptor, bytes: await readWhole(download, reader, signal) }
    })
  }

  /** Complete, but on no disk: all who ask read it where it has passed through, so that it is in memory only once. */
  #unkept(download: Download, sources: readonly BlobSource[], signal: AbortSignal): StreamBlob {
    signal.throwIfAborted() // who has left already would never let go
    const holder = download.join(0)
    const letGo = async () => {
      await download.leave(holder)
      this.#left(download)
    }
    signal.addEventListener("abort", letGo, { once: true })
    const open = async (range: ByteRange) => {
      const stream = this.#read(download, range, sources)
      signal.removeEventListener("abort", letGo)
      await letGo()
      return stream
    }
    return { kind: "stream", descriptor: download.descriptor, open }
  }

  #read(
    download: Download,
    range: ByteRange,
    sources: readonly BlobSource[],
    isEarly = false,
  ): ReadableStream<Uint8Array> {
    const restart = () => this.#begin(download.descriptor, sources)
    return readDownload({ download, range, isEarly, left: (one) => this.#left(one), restart })
  }

  async #held<Result>(download: Download, position: number, use: (reader: Reader) => Promise<Result>): Promise<Result> {
    const reader = download.join(position)
    try {
      return await use(reader)
    } finally {
      await download.leave(reader)
      this.#left(download)
    }
  }

  /** Clients give up a silent request after 30 s; the transfer goes on for the next one. */
  async #inTime<Result>(result: Promise<Result>, { attempts, descriptor }: Download): Promise<Result> {
    const { clock, policy } = this.#options
    return await inTime(result, { clock, patienceMs: policy.firstByteMs }, () => {
      const seconds = Math.round(policy.firstByteMs / 1000)
      const message = `Cannot serve blob ${descriptor.digest} yet: its source gave nothing for ${seconds} s, try again`
      return attempts.trouble ?? new RegistryError("UNAVAILABLE", message, { retryAfterSeconds: 2 })
    })
  }

  #join(descriptor: Descriptor, sources: readonly BlobSource[]): Download {
    this.#failures.throwRecent(descriptor.digest, sources, this.#trusted(descriptor.digest, sources).length > 0)
    const latest = this.#running.get(descriptor.digest)
    const running = latest?.isOver === true ? undefined : latest // whose spool is closed already
    if (running === undefined) return this.#start(descriptor, sources)
    this.#options.metrics.coalesced.inc()
    const transfer = this.#all.get(running)
    if (transfer !== undefined)
      running.attempts.add(this.#measured(this.#trusted(descriptor.digest, sources), transfer))
    return running
  }

  #start(descriptor: Descriptor, sources: readonly BlobSource[]): Download {
    const download = this.#begin(descriptor, sources)
    this.#running.set(descriptor.digest, download)
    this.#measure()
    return download
  }

  /** A transfer that nobody else will find. */
  #begin(descriptor: Descriptor, sources: readonly BlobSource[]): Download {
    const { clock, openSpool, policy } = this.#options
    const trusted = this.#trusted(descriptor.digest, sources)
    const transfer = new Transfer(descriptor, this.#options)
    const usable = this.#measured(trusted.length > 0 ? trusted : sources, transfer)
    const download = new Download({
      descriptor,
      attempts: new Attempts(descriptor, usable, { ...policy, clock }),
      clock,
      openSpool,
      holdBack: new HoldBack({ ...policy, clock, size: descriptor.size, isDistrusted: trusted.length === 0 }),
      events: this.#events(descriptor, transfer),
    })
    this.#all.set(download, transfer)
    void this.#run(download, transfer)
    return download
  }

  #measured(sources: readonly BlobSource[], transfer: Transfer): readonly BlobSource[] {
    return sources.map((source) => measured(source, { ...this.#options, transfer }))
  }

  async #run(download: Download, transfer: Transfer): Promise<void> {
    const release = await this.#slot(download)
    if (release === null) return
    await download.run()
    release()
    transfer.end(download.error)
    this.#forget(download)
    const file = await download.kept(this.#shutdown.signal).catch(() => null)
    this.#options.ended?.({ descriptor: download.descriptor, file, sources: download.contributors })
  }

  /** Null: the download failed because no slot became free in time. */
  async #slot(download: Download): Promise<(() => void) | null> {
    const { clock, policy } = this.#options
    try {
      return await this.#slots.acquireInTime({ clock, patienceMs: policy.queueMs }, this.#shutdown.signal)
    } catch {
      const message = `Cannot fetch blob ${download.descriptor.digest}: too many transfers are under way, try again`
      download.fail(new RegistryError("UNAVAILABLE", message, { retryAfterSeconds: 5 }))
      this.#forget(download)
      return null
    }
  }

  #forget(download: Download): void {
    const { digest } = download.descriptor
    this.#all.delete(download)
    if (this.#running.get(digest) === download) this.#running.delete(digest)
    this.#measure()
    if (download.error === null || isAbandonment(download.error) || this.#shutdown.signal.aborted) return
    this.#failures.add(digest, download)
  }

  #measure(): void {
    this.#options.metrics.inflightDownloads.set(this.#running.size)
  }

  #left(download: Download): void {
    if (download.readers > 0 || !download.isRunning) return
    const { digest, size } = download.descriptor
    const isShared = this.#running.get(digest) === download
    const isNearlyDone = download.have >= size / 4 || size - download.have <= this.#options.policy.finishBytes
    if (!isShared || download.isWindow || !isNearlyDone) void this.#abandon(download)
  }

  async #abandon(download: Download): Promise<void> {
    const { clock, policy } = this.#options
    await clock.sleep(policy.lingerMs, this.#shutdown.signal).catch(() => {})
    if (download.readers > 0 || !download.isRunning) return
    if (this.#running.get(download.descriptor.digest) === download) this.#running.delete(download.descriptor.digest)
    download.abort(new DOMException("Nobody reads this blob any more", "AbortError"))
  }

  #trusted(digest: Digest, sources: readonly BlobSource[]): readonly BlobSource[] {
    const now = this.#options.clock.now()
    return sources.filter(({ origin }) => (this.#distrusted.get(`${origin} ${digest}`) ?? 0) <= now)
  }

  #events(descriptor: Descriptor, transfer: Transfer): DownloadEvents {
    const { digest } = descriptor
    const { clock, log, metrics, policy } = this.#options
    return {
      mismatch: (source) => {
        const { name, origin } = source
        void source.wrong?.(descriptor)
        this.#distrusted.set(`${origin} ${digest}`, clock.now() + policy.distrustMs)
        metrics.integrityFailures.inc({ source: name })
        log.warn("blob does not match its digest", { digest, source: name, origin })
      },
      opened: (source, offset) => {
        const { name, origin } = source
        if (offset > 0) {
          metrics.upstreamResumes.inc()
          transfer.resumed(source, offset)
        } else log.debug("fetching blob", { digest, source: name, origin, offset })
      },
      notKept: (error) => log.warn("cannot keep blob in the store", { digest, error }),
    }
  }
}
