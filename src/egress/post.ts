import { findProxy, type ProxySettings } from "./proxy.ts"

export interface PostOptions {
  readonly headers: Readonly<Record<string, string>>
  readonly timeoutMs: number
  readonly proxies: ProxySettings
}

/**
 * Sends something to a place that an operator has named, and forgets the answer. Redirects are not followed. Rejects
 * when the answer is not 2xx, or takes too long.
 */
export async function post(url: URL, body: Uint8Array<ArrayBuffer>, options: PostOptions): Promise<void> {
  const { headers, proxies, timeoutMs } = options
  const proxy = findProxy(proxies, url)
  const response = await fetch(url, {
    method: "POST",
    body,
    headers,
    redirect: "manual",
    signal: AbortSignal.timeout(timeoutMs),
    ...(proxy === null ? {} : { proxy: proxy.href }),
  })
  await response.body?.cancel()
  if (!response.ok) throw new Error(`Cannot post to ${url.host}: it answered ${response.status}`)
}
