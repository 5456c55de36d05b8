export interface RateLimit {
  /** Requests per window. Null: not told. */
  readonly limit: number | null
  readonly remaining: number | null
}

/** Reads what Docker Hub tells with every manifest: `ratelimit-remaining: 76;w=21600` is 76 within 6 hours. */
export const readRateLimit = (headers: Headers): RateLimit => ({
  limit: readCount(headers.get("ratelimit-limit")),
  remaining: readCount(headers.get("ratelimit-remaining")),
})

function readCount(header: string | null): number | null {
  const [, count] = /^\s*(\d{1,9})\s*(?:;|,|$)/.exec(header ?? "") ?? []
  return count === undefined ? null : Number(count)
}
