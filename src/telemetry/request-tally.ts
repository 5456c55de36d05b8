import { MAX_LINES } from "./floods.ts"

/** What is told of an answer. */
export interface RequestFields {
  readonly method: string
  readonly path: string
  readonly status: number
  readonly bytes: number
  readonly ms: number
}

/** How often one answer was sent. Lives as long as the answer, which is a second at most. */
export class RequestTally {
  readonly #about: Omit<RequestFields, "ms">
  #admitted = 0
  #leftOut = 0
  #slowestMs = 0

  constructor(about: Omit<RequestFields, "ms">) {
    this.#about = about
  }

  fields(ms: number): RequestFields {
    return { ...this.#about, ms }
  }

  /** True: write it. */
  admits(): boolean {
    if (this.#admitted === MAX_LINES) return false
    this.#admitted += 1
    return true
  }

  /** True for the first since `takeLeftOut`. */
  leaveOut(ms: number): boolean {
    this.#leftOut += 1
    if (ms > this.#slowestMs) this.#slowestMs = ms
    return this.#leftOut === 1
  }

  /** Of those that were left out, with the time of the slowest. */
  takeLeftOut(): RequestFields & { readonly repeated: number } {
    const fields = { ...this.fields(this.#slowestMs), repeated: this.#leftOut }
    this.#leftOut = 0
    this.#slowestMs = 0
    return fields
  }
}
