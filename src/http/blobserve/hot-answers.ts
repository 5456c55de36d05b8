import type { Clock } from "../../lib/clock.ts"
import type { InstantAnswer } from "../instant.ts"
import { pathOf } from "../path-of.ts"
import { type Presented, sameHeaders } from "./present.ts"
import { isUpgrade } from "./upgrade.ts"

/** What a path has led to, without the request that asked. */
export type Found = Omit<Presented, "request" | "isTrusted" | "wait">

export interface Hot extends Found {
  /** All of the file. Null: what is answered depends on the request. */
  readonly answer: InstantAnswer | null
}

/** A tag is looked at again after this. */
const HOT_MS = 1000
/** Of contents and URLs, for each of both generations. */
const HOT_BYTES = 8 * 1024 * 1024
/** Of one, besides its content and its URL. */
const EXTRA_BYTES = 2000

/** What was found within a second. */
class Generation {
  /** By the whole URL: to cut off what does not matter would take longer than all the rest. */
  readonly known = new Map<string, Hot>()
  readonly until: number
  bytes = 0

  constructor(until: number) {
    this.until = until
  }
}

/** Small files that are asked for again and again: for a second at most, nothing about them is worked out anew. */
export class HotAnswers {
  readonly #clock: Clock
  #latest = new Generation(0)
  #before = this.#latest

  constructor(clock: Clock) {
    this.#clock = clock
  }

  find(request: Request): Hot | null {
    const { url } = request
    const hot = this.#in(this.#latest, url) ?? this.#in(this.#before, url)
    if (hot === null) return null
    const isRead = request.method === "GET" || request.method === "HEAD"
    return isRead && !isUpgrade(request) ? hot : null
  }

  #in({ known, until }: Generation, url: string): Hot | null {
    const hot = known.get(url)
    return hot === undefined || this.#clock.now() >= until ? null : hot
  }

  /** Only what is complete, and in memory. */
  remember(request: Request, found: Found): void {
    const { url } = request
    const { blob, isVerified } = found.file
    if (!isVerified || blob.kind !== "bytes" || this.#in(this.#latest, url) !== null) return
    const bytes = blob.bytes.byteLength + 2 * url.length + EXTRA_BYTES
    const { known } = this.#withRoom(bytes)
    const headers = sameHeaders({ ...found, request })
    const answer = headers === null ? null : { bytes: blob.bytes, headers, path: pathOf(url) }
    known.set(url, { ...found, answer })
  }

  #withRoom(bytes: number): Generation {
    const now = this.#clock.now()
    if (now >= this.#latest.until || this.#latest.bytes + bytes > HOT_BYTES) {
      this.#before = this.#latest
      this.#latest = new Generation(now + HOT_MS)
    }
    this.#latest.bytes += bytes
    return this.#latest
  }
}
