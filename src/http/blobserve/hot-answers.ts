import { RequestTally } from "../../telemetry/request-tally.ts"
import type { InstantAnswer } from "../instant.ts"
import { pathOf } from "../path-of.ts"
import { asksForAll } from "../respond.ts"
import { type Presented, sameHeaders } from "./present.ts"
import { isUpgrade } from "./upgrade.ts"

/** What a path has led to, without the request that asked. */
export type Found = Omit<Presented, "request" | "isTrusted" | "wait">

export interface Hot extends Found {
  /** All of the file. Null: what is answered depends on the request. */
  readonly answer: InstantAnswer | null
}

/** A tag is looked at again after this, and the log tells of as many requests in lines of their own as it does in a second. */
const HOT_MS = 1000
/** Of contents and URLs, for each of both generations. */
const HOT_BYTES = 16 * 1024 * 1024
/** Of one, besides its content, which there may be twice, and its URL. */
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
  #latest = new Generation(0)
  #before = this.#latest

  /** `now` is from `performance.now()`, here as below. */
  find(request: Request, now: number): Hot | null {
    const hot = this.#at(request.url, now)
    if (hot === null) return null
    const isRead = request.method === "GET" || request.method === "HEAD"
    return isRead && !isUpgrade(request) ? hot : null
  }

  /** For who asks for all of a file: of most requests, nothing else is looked at. */
  instant(request: Request, now: number): InstantAnswer | null {
    const answer = this.#at(request.url, now)?.answer ?? null
    return answer !== null && asksForAll(request) && !isUpgrade(request) ? answer : null
  }

  #at(url: string, now: number): Hot | null {
    return inGeneration(this.#latest, url, now) ?? inGeneration(this.#before, url, now)
  }

  /** Only what is complete, and in memory. */
  remember(request: Request, found: Found, now: number): void {
    const { url } = request
    const { blob, isVerified } = found.file
    if (!isVerified || blob.kind !== "bytes" || inGeneration(this.#latest, url, now) !== null) return
    const bytes = 2 * (blob.bytes.byteLength + url.length) + EXTRA_BYTES
    const { known } = this.#withRoom(bytes, now)
    const headers = sameHeaders({ ...found, request })
    known.set(url, { ...found, answer: headers === null ? null : new WholeFile(url, blob.bytes, headers) })
  }

  #withRoom(bytes: number, now: number): Generation {
    if (now >= this.#latest.until || this.#latest.bytes + bytes > HOT_BYTES) {
      this.#before = this.#latest
      this.#latest = new Generation(now + HOT_MS)
    }
    this.#latest.bytes += bytes
    return this.#latest
  }
}

function inGeneration({ known, until }: Generation, url: string, now: number): Hot | null {
  return now < until ? (known.get(url) ?? null) : null
}

/** All of a file. */
class WholeFile implements InstantAnswer {
  readonly #bytes: Uint8Array<ArrayBuffer>
  readonly init: { readonly headers: Headers }
  readonly tally: RequestTally
  #body: Blob | null = null

  constructor(url: string, bytes: Uint8Array<ArrayBuffer>, headers: Headers) {
    this.#bytes = bytes
    this.init = { headers }
    this.tally = new RequestTally({ method: "GET", path: pathOf(url), status: 200, bytes: bytes.byteLength })
  }

  /** A copy, made for those that are asked for once more. */
  get body(): Blob {
    this.#body ??= new Blob([this.#bytes])
    return this.#body
  }
}
