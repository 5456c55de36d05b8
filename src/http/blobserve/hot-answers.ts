import type { Clock } from "../../lib/clock.ts"
import type { InstantAnswer } from "../instant.ts"
import { pathOf } from "../path-of.ts"
import { type Presented, sameHeaders } from "./present.ts"

/** What a path has led to, without the request that asked. */
export type Found = Omit<Presented, "request" | "isTrusted">

export interface Hot extends Found {
  /** All of the file. Null: what is answered depends on the request. */
  readonly answer: InstantAnswer | null
}

/** A tag is looked at again after this. */
const HOT_MS = 1000
/** Of contents and paths. */
const HOT_BYTES = 16 * 1024 * 1024
/** Of one, besides its content and its path. */
const EXTRA_BYTES = 1000

/** Small files that are asked for again and again: for a second at most, nothing about them is worked out anew. */
export class HotAnswers {
  readonly #clock: Clock
  /** By the whole URL: to cut off what does not matter would take longer than all the rest. */
  #known = new Map<string, Hot>()
  #bytes = 0
  #until = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  find({ headers, method, url }: Request): Hot | null {
    if (this.#known.size === 0 || (method !== "GET" && method !== "HEAD") || headers.has("upgrade")) return null
    const hot = this.#known.get(url) ?? null
    return hot === null || this.#clock.now() >= this.#until ? null : hot
  }

  /** Only what is complete, and in memory. */
  remember(request: Request, found: Found): void {
    const { blob, isVerified } = found.file
    if (!isVerified || blob.kind !== "bytes") return
    const { url } = request
    const bytes = blob.bytes.byteLength + 2 * url.length + EXTRA_BYTES
    const now = this.#clock.now()
    if (now >= this.#until || this.#bytes + bytes > HOT_BYTES) this.#beginAnew(now)
    const headers = sameHeaders({ ...found, request })
    const answer = headers === null ? null : { bytes: blob.bytes, headers, path: pathOf(url) }
    this.#known.set(url, { ...found, answer })
    this.#bytes += bytes
  }

  #beginAnew(now: number): void {
    this.#known = new Map()
    this.#bytes = 0
    this.#until = now + HOT_MS
  }
}
