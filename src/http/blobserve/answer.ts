import type { Logger } from "../../telemetry/log.ts"
import { failureOf } from "../failure.ts"
import type { Refuse } from "../respond.ts"

/** Whatever is no file is never kept by caches: a failure that they remember outlives its cause. */
const NO_STORE = { "cache-control": "no-store", "content-type": "text/plain; charset=utf-8" } as const

export function plainText(status: number, text: string, headers: Readonly<Record<string, string>> = {}): Response {
  return new Response(text, {
    status,
    headers: { ...NO_STORE, "content-length": String(Buffer.byteLength(text)), ...headers },
  })
}

/** What a thrown error is answered with. */
export function failureText(log: Logger, request: Request, error: unknown): Response {
  const { message, retryAfterSeconds, status } = failureOf(log, request, error)
  return plainText(status, `${message}\n`, {
    ...(retryAfterSeconds === null ? {} : { "retry-after": String(Math.max(1, Math.ceil(retryAfterSeconds))) }),
    ...(status === 405 ? { allow: "GET, HEAD" } : {}),
  })
}

/** What a range that cannot be had is answered with, as every other failure of this port. */
export const refusalText: Refuse = ({ message, status }, _, headers) => plainText(status, `${message}\n`, headers)
