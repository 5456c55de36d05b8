import type { Descriptor } from "../oci/descriptor.ts"
import type { FileBlob } from "./blob.ts"
import type { OpenSpool, Spool } from "./spool.ts"

/** Opens the first kind of spool; where that fails, at once or in the middle of the content, goes on with the second. */
export const withFallback =
  (openFirst: OpenSpool, openSecond: OpenSpool): OpenSpool =>
  async (size) => {
    const first = await openFirst(size).catch(() => null) // whoever opens it has told why
    if (first === null) return await openSecond(size)
    return new FallbackSpool(first, (written) => openSecond(size === null ? null : size - written))
  }

/** What the first spool took before it failed is still read from it; the rest is in the second. Nothing is kept then. */
class FallbackSpool implements Spool {
  readonly #first: Spool
  readonly #openSecond: (written: number) => Promise<Spool>
  #second: Spool | null = null
  #inFirst = 0
  #slowest = 0
  #fastest = 0

  constructor(first: Spool, openSecond: (written: number) => Promise<Spool>) {
    this.#first = first
    this.#openSecond = openSecond
  }

  get isWindow(): boolean {
    return this.#second?.isWindow ?? this.#first.isWindow
  }

  async write(bytes: Uint8Array, signal?: AbortSignal): Promise<void> {
    if (this.#second !== null) return await this.#second.write(bytes, signal)
    try {
      await this.#first.write(bytes)
      this.#inFirst += bytes.byteLength
    } catch {
      const second = await this.#goOn() // the first has told why
      await second.write(bytes, signal)
    }
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    if (this.#second === null || offset < this.#inFirst) return await this.#first.read(offset, length)
    return await this.#second.read(offset - this.#inFirst, length)
  }

  advance(slowest: number, fastest: number): void {
    this.#slowest = slowest
    this.#fastest = fastest
    this.#first.advance(slowest, fastest)
    this.#second?.advance(Math.max(0, slowest - this.#inFirst), Math.max(0, fastest - this.#inFirst))
  }

  async reset(): Promise<void> {
    const isInFirst = this.#second === null
    await this.#second?.close()
    this.#second = null
    this.#inFirst = 0
    // A disk that has failed once is not asked again for this content
    if (isInFirst) await this.#first.reset().catch(async () => void (await this.#goOn()))
    else await this.#goOn()
  }

  async keep(descriptor: Descriptor): Promise<FileBlob | null> {
    return this.#second === null ? await this.#first.keep(descriptor) : null
  }

  async close(): Promise<void> {
    await this.#first.close()
    await this.#second?.close()
  }

  async #goOn(): Promise<Spool> {
    this.#second = await this.#openSecond(this.#inFirst)
    this.advance(this.#slowest, this.#fastest)
    return this.#second
  }
}
