import { LRUCache } from "lru-cache"
import type { Clock } from "../../lib/clock.ts"
import { type Presented, sameHeaders } from "./present.ts"

/** What a path has led to, without the request that asked. */
export type Found = Omit<Presented, "request" | "isTrusted">

export interface Hot extends Found {
  /** Null: it depends on the request. */
  readonly headers: Headers | null
}

/** A tag is looked at again after this. */
const HOT_MS = 1000
const MAX_HOT = 10_000
/** Of contents and paths. */
const HOT_BYTES = 16 * 1024 * 1024

/** Small files that are asked for again and again: for a second, nothing about them is worked out anew. */
export class HotAnswers {
  readonly #known: LRUCache<string, Hot>

  constructor(clock: Clock) {
    this.#known = new LRUCache({ max: MAX_HOT, maxSize: HOT_BYTES, ttl: HOT_MS, ttlResolution: 0, perf: clock })
  }

  find({ headers, method, url }: Request): Hot | null {
    if ((method !== "GET" && method !== "HEAD") || headers.has("upgrade")) return null
    return this.#known.get(pathOf(url)) ?? null
  }

  /** Only what is complete, and in memory. */
  remember(request: Request, found: Found): void {
    const { blob, isVerified } = found.file
    if (!isVerified || blob.kind !== "bytes") return
    const path = pathOf(request.url)
    const hot = { ...found, headers: sameHeaders({ ...found, request }) }
    this.#known.set(path, hot, { size: blob.bytes.byteLength + path.length + 1000 })
  }
}

/** With its query, and without what does not name the file. */
const pathOf = (url: string): string => url.slice(url.indexOf("/", url.indexOf("//") + 2))
