import type { Clock } from "../lib/clock.ts"
import { abortable } from "../lib/single-flight.ts"
import type { Descriptor } from "../oci/descriptor.ts"
import { createHasher, digestAlgorithm, type Hasher } from "../oci/digest.ts"
import type { Attempts } from "./attempts.ts"
import type { BlobSource, FileBlob } from "./blob.ts"
import type { DownloadEvents } from "./download-events.ts"
import type { HoldBack } from "./hold-back.ts"
import { IntegrityError } from "./integrity-error.ts"
import { type Opened, openFirst } from "./open-first.ts"
import { type Reader, Readers } from "./readers.ts"
import type { OpenSpool, Spool } from "./spool.ts"
import { OverlongError, SpoolError } from "./transfer-error.ts"

export interface DownloadOptions {
  readonly descriptor: Descriptor
  readonly attempts: Attempts
  readonly clock: Clock
  readonly openSpool: OpenSpool
  readonly holdBack: HoldBack
  readonly events: DownloadEvents
}

type State = { readonly kind: "running" | "verified" } | { readonly kind: "failed"; readonly error: unknown }

/** Fewer bytes than this per attempt are no progress, so that a trickle cannot go on for ever. */
const PROGRESS_BYTES = 64 * 1024
const PIECE_BYTES = 128 * 1024

/**
 * The one transfer of a blob: sources on one side, a spool in the middle, any number of readers on the other. Sources
 * are interchangeable at any offset because the digest is the contract. Bytes that are not verified yet never complete
 * a response: the last byte of every range is held back until the digest of the whole blob has matched.
 */
export class Download {
  readonly descriptor: Descriptor
  readonly attempts: Attempts
  readonly #options: DownloadOptions
  readonly #abort = new AbortController()
  readonly #contributors = new Set<BlobSource>()
  readonly #kept = Promise.withResolvers<FileBlob | null>()
  #changed = Promise.withResolvers<void>()
  #state: State = { kind: "running" }
  #spool: Spool | null = null
  #hasher: Hasher
  #have = 0
  readonly #readers = new Readers()
  #exposed = false
  #restarts = 0
  /** Nothing more is written or kept. */
  isOver = false
  /** After a mismatch of several sources together: each is read alone, so that the wrong one is found. */
  #unmixed = false

  constructor(options: DownloadOptions) {
    this.descriptor = options.descriptor
    this.attempts = options.attempts
    this.#options = options
    this.#hasher = createHasher(digestAlgorithm(options.descriptor.digest))
    this.#kept.promise.catch(() => {}) // whoever waits is told; nobody has to wait
  }

  get have(): number {
    return this.#have
  }

  /** Those that have given bytes. */
  get contributors(): readonly BlobSource[] {
    return [...this.#contributors]
  }

  get readers(): number {
    return this.#readers.size
  }

  /** True when the bytes only pass through memory. */
  get isWindow(): boolean {
    return this.#spool?.isWindow === true
  }

  get isRunning(): boolean {
    return this.#state.kind === "running"
  }

  /** Why the transfer failed; null while it runs and after success. */
  get error(): unknown {
    return this.#state.kind === "failed" ? this.#state.error : null
  }

  /** Settles when the transfer is over, whatever its end; never rejects. */
  async run(): Promise<void> {
    try {
      await this.#fill(this.#abort.signal)
      this.#enter({ kind: "verified" })
      this.#kept.resolve(await this.#keep())
    } catch (error) {
      this.fail(error)
    }
    this.isOver = true
    await this.#closeIfUnused()
  }

  /** Ends a download that could not even begin, for all its readers. */
  fail(error: unknown): void {
    this.#enter({ kind: "failed", error })
    this.#kept.reject(error)
  }

  /** Readers have what they need by now, so a store that fails here costs only the next request a transfer. */
  async #keep(): Promise<FileBlob | null> {
    try {
      return (await this.#spool?.keep(this.descriptor)) ?? null
    } catch (error) {
      this.#options.events.notKept(error)
      return null
    }
  }

  abort(reason: unknown): void {
    this.#abort.abort(reason)
  }

  /** Waits until a source has given its first byte. Rejects when none can. */
  async started(signal: AbortSignal): Promise<void> {
    while (this.isRunning && this.#have === 0) await abortable(this.#changed.promise, signal)
    if (this.#state.kind === "failed") throw this.#state.error
  }

  async verified(signal: AbortSignal): Promise<void> {
    while (this.isRunning) await abortable(this.#changed.promise, signal)
    if (this.#state.kind === "failed") throw this.#state.error
  }

  /** Waits for the end of the transfer. Null: verified, but the store could not keep it. */
  async kept(signal: AbortSignal): Promise<FileBlob | null> {
    return await abortable(this.#kept.promise, signal)
  }

  /** Every join needs one leave: a transfer that nobody reads may be stopped, and its spool is closed at the end. */
  join(position: number, isEarly = false): Reader {
    const reader = this.#readers.add(position, isEarly)
    this.#advance()
    return reader
  }

  async leave(reader: Reader): Promise<void> {
    this.#readers.delete(reader)
    this.#advance()
    await this.#closeIfUnused()
  }

  /**
   * The next bytes before `end`, as far as they may leave now, at most `length`; waits until there are some. Rejects
   * when the transfer has failed, and with SpoolGone when the reader was too slow for a spool that cannot hold all.
   */
  async read(reader: Reader, end: number, length: number, signal: AbortSignal): Promise<Uint8Array> {
    while (this.#limit(end, reader) <= reader.position) {
      if (this.#have >= end && reader.position === end - 1) return await this.#lastByte(reader, end, signal)
      await abortable(this.#changed.promise, signal)
    }
    this.#exposed = true
    const bytes = await this.#readSpool(reader.position, Math.min(length, this.#limit(end, reader) - reader.position))
    this.#move(reader, reader.position + bytes.byteLength)
    return bytes
  }

  /** Holds the byte that may not leave yet, so that a spool which cannot hold all need not wait with it. */
  async #lastByte(reader: Reader, end: number, signal: AbortSignal): Promise<Uint8Array> {
    const restarts = this.#restarts
    const byte = await this.#readSpool(end - 1, 1)
    this.#move(reader, Number.POSITIVE_INFINITY)
    while (this.isRunning && restarts === this.#restarts) await abortable(this.#changed.promise, signal)
    if (this.#state.kind === "failed") throw this.#state.error
    this.#move(reader, restarts === this.#restarts ? end : end - 1)
    return reader.position === end ? byte : await this.read(reader, end, 1, signal)
  }

  async #readSpool(offset: number, length: number): Promise<Uint8Array> {
    if (this.#spool === null) throw new Error("Cannot read a download before it runs")
    return await this.#spool.read(offset, length)
  }

  #move(reader: Reader, position: number): void {
    this.#readers.move(reader, position)
    this.#advance()
  }

  /** Any spool is told: one that fails goes on as a window in the middle of a write, and has to know by then. */
  #advance(): void {
    if (this.#readers.size > 0) this.#spool?.advance(this.#readers.slowest, this.#readers.fastest)
  }

  /** The offset up to which a response that ends at `end` may be sent. */
  #limit(end: number, { isEarly }: Reader): number {
    if (this.#state.kind === "failed") throw this.#state.error
    if (this.#state.kind === "verified") return end
    return this.#options.holdBack.holdsAll(this.isWindow, isEarly) ? 0 : Math.min(this.#have, end - 1)
  }

  async #fill(signal: AbortSignal): Promise<void> {
    this.#spool = await this.#options.openSpool(this.descriptor.size)
    this.#advance()
    do {
      while (this.#have < this.descriptor.size) await this.#attempt(this.#spool, signal)
    } while (!(await this.#verify(this.#spool)))
  }

  async #attempt(spool: Spool, signal: AbortSignal): Promise<void> {
    const { attempts } = this
    const source = await attempts.next(signal)
    if (source === null) throw attempts.failure()
    if (this.#unmixed && !this.#contributors.has(source)) await this.#restart(spool)
    const start = this.#have
    const opened = await openFirst(source, { ...this.#options, offset: start, signal })
    if (opened === null) return
    try {
      this.#options.events.opened(opened.source, start)
      await this.#drain(opened, spool, signal)
    } catch (error) {
      signal.throwIfAborted()
      if (error instanceof SpoolError) throw error.cause
      if (error instanceof OverlongError) return await this.#reject(spool, error.message)
      attempts.failed(opened.source, error, this.#have - start >= PROGRESS_BYTES)
    }
  }

  /** Rejects when the stream ends before the blob does. */
  async #drain({ source, stream }: Opened, spool: Spool, signal: AbortSignal): Promise<void> {
    const { size } = this.descriptor
    for await (const chunk of stream) {
      this.#contributors.add(source)
      this.#options.holdBack.took(source)
      if (this.#have + chunk.byteLength > size) throw new OverlongError(`it sent more than the ${size} bytes announced`)
      await this.#take(chunk, spool, signal)
    }
    if (this.#have < size) throw new Error(`the transfer ended after ${this.#have} of ${size} bytes`)
  }

  /** In pieces that a window is sure to have room for once its readers have caught up with the piece before. */
  async #take(chunk: Uint8Array, spool: Spool, signal: AbortSignal): Promise<void> {
    for (let offset = 0; offset < chunk.byteLength; offset += PIECE_BYTES) {
      const piece = chunk.subarray(offset, offset + PIECE_BYTES)
      await spool.write(piece, signal).catch((cause) => Promise.reject(new SpoolError(cause)))
      this.#hasher.update(piece)
      this.#have += piece.byteLength
      this.#wake()
    }
  }

  async #verify(spool: Spool): Promise<boolean> {
    const found = this.#hasher.digest()
    if (found === this.descriptor.digest) return true
    await this.#reject(spool, `the bytes have the digest ${found}`)
    return false
  }

  /** Wrong bytes: nothing of them is kept. Starts from nothing again if no reader has seen any of them, else rejects. */
  async #reject(spool: Spool, reason: string): Promise<void> {
    const hints = this.contributors.filter(({ isHint }) => isHint === true)
    const sources = hints.length > 0 ? hints : this.contributors
    const origins = sources.map(({ origin }) => origin).join(" and ")
    const error = new IntegrityError(
      `Cannot serve blob ${this.descriptor.digest}: ${origins || "its source"} is wrong, ${reason}`,
    )
    for (const source of sources) {
      this.#options.events.mismatch(source)
      this.attempts.mismatched(source, error)
    }
    if (this.#exposed || sources.length === 0) throw error
    this.#unmixed = this.#contributors.size > 1
    await this.#restart(spool)
  }

  async #restart(spool: Spool): Promise<void> {
    if (this.#exposed) return
    this.#contributors.clear()
    this.#options.holdBack.restart()
    if (this.#have === 0) return
    this.#hasher = createHasher(digestAlgorithm(this.descriptor.digest))
    this.#have = 0
    this.#restarts += 1
    this.#wake()
    await spool.reset()
  }

  #enter(state: State): void {
    this.#state = state
    this.#wake()
  }

  #wake(): void {
    const changed = this.#changed
    this.#changed = Promise.withResolvers<void>()
    changed.resolve()
  }

  async #closeIfUnused(): Promise<void> {
    if (this.#readers.size === 0 && this.isOver) await this.#spool?.close()
  }
}
