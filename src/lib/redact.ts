/** A URL that may be shown and logged: without user, password, query values and fragment, which carry secrets. */
export function redactUrl(url: URL | string): string {
  const parsed = typeof url === "string" ? URL.parse(url) : url
  if (parsed === null) return "<invalid URL>"
  return `${parsed.protocol}//${parsed.host}${parsed.pathname}${parsed.search === "" ? "" : "?<redacted>"}`
}

/** Text that may be shown and logged although somebody may have written a password into a URL in it. */
export const redactText = (text: string): string => text.replace(/\/\/[^/\s]*@/g, "//<redacted>@")
