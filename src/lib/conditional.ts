/**
 * True when an If-None-Match header names `etag` (a strong one, given without quotes), so that the answer is 304
 * (RFC 9110, 13.1.2: weak comparison). Clients that forget the quotes are understood.
 */
export function matchesNone(header: string | null, etag: string): boolean {
  if (header === null) return false
  if (header.trim() === "*") return true
  return header.split(",").some((part) => opaqueTag(part) === etag)
}

/**
 * True when a Range may be answered in part: no If-Range, or one that names exactly this content (RFC 9110, 13.1.5). An
 * empty one is none.
 */
export function allowsRange(ifRange: string | null, etag: string): boolean {
  if (ifRange === null || ifRange.trim() === "") return true
  return !ifRange.trim().startsWith("W/") && opaqueTag(ifRange) === etag
}

/**
 * True when an If-Modified-Since header names exactly the time that the content has (RFC 9110, 13.1.3). An earlier content
 * may take the place of a later one, and a build may date all files alike: a later time proves nothing.
 */
export const isUnmodified = (header: string | null, lastModified: string): boolean =>
  header !== null && Date.parse(header) === Date.parse(lastModified)

function opaqueTag(text: string): string {
  const strong = text.trim().replace(/^W\//, "")
  return strong.startsWith('"') && strong.endsWith('"') && strong.length >= 2 ? strong.slice(1, -1) : strong
}
