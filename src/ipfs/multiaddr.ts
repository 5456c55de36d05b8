import { redactText } from "../lib/redact.ts"

const PATTERN = /^\/(?:ip4|ip6|dns|dns4|dns6)\/([^/]+)\/tcp\/(\d{1,5})(?:\/(http|https))?\/?$/

/**
 * The URL of an HTTP API by its multiaddr, like /ip4/127.0.0.1/tcp/5001, or the URL that it is already. Throws
 * TypeError.
 */
export function parseApiAddress(text: string): URL {
  const [, host, port, scheme = "http"] = PATTERN.exec(text) ?? []
  const href = host === undefined ? text : `${scheme}://${host.includes(":") ? `[${host}]` : host}:${port}`
  const url = URL.parse(href)
  if (url === null || !/^https?:$/.test(url.protocol)) {
    throw new TypeError(
      `Cannot use ${JSON.stringify(redactText(text))} as the address of an IPFS node: give a multiaddr like /ip4/127.0.0.1/tcp/5001, or a URL`,
    )
  }
  return url
}
