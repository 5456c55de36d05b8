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

/** Small files that are asked for again and again: for a second, nothing about them is worked out anew. */
export class HotAnswers {
  readonly #clock: Clock
  readonly #known = new LRUCache<string, { readonly hot: Hot; readonly until: number }>({ max: MAX_HOT })

  constructor(clock: Clock) {
    this.#clock = clock
  }

  find({ headers, method, url }: Request): Hot | null {
    if ((method !== "GET" && method !== "HEAD") || headers.has("upgrade")) return null
    const known = this.#known.get(pathOf(url))
    return known !== undefined && known.until > this.#clock.now() ? known.hot : null
  }

  /** Only what is complete, and in memory. */
  remember(request: Request, found: Found): void {
    if (!found.file.isVerified || found.file.blob.kind !== "bytes") return
    const hot = { ...found, headers: sameHeaders({ ...found, request }) }
    this.#known.set(pathOf(request.url), { hot, until: this.#clock.now() + HOT_MS })
  }
}

/** With its query, and without what does not name the file. */
const pathOf = (url: string): string => url.slice(url.indexOf("/", url.indexOf("//") + 2))
