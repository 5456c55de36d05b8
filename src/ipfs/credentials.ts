export interface Endpoint {
  /** Without user and password. */
  readonly url: URL
  /** Value of Authorization; null: none was given. */
  readonly authorization: string | null
}

/** A user and password in a URL become Basic authentication (RFC 7617), so that the URL can be shown and sent. */
export function splitCredentials(text: URL): Endpoint {
  const url = new URL(text)
  const { username, password } = url
  if (username === "") return { url, authorization: null }
  url.username = ""
  url.password = ""
  const login = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`
  return { url, authorization: `Basic ${Buffer.from(login).toString("base64")}` }
}
