const PATTERN = /^\/(?:ip4|ip6|dns|dns4|dns6)\/([^/]+)\/tcp\/(\d{1,5})(?:\/(http|https))?\/?$/

/** The URL of an HTTP API by its multiaddr, like /ip4/127.0.0.1/tcp/5001, or the URL that it is already. Null: it is neither. */
export function parseApiAddress(text: string): URL | null {
  const [, host, port, scheme = "http"] = PATTERN.exec(text) ?? []
  const href = host === undefined ? text : `${scheme}://${host.includes(":") ? `[${host}]` : host}:${port}`
  const url = URL.parse(href)
  return url !== null && /^https?:$/.test(url.protocol) ? url : null
}
