/** Of a request's URL: without the origin, where there is one, and without the query, which may hold a secret. */
export function pathOf(url: string): string {
  const start = url.startsWith("http") ? url.indexOf("/", url.indexOf("//") + 2) : 0
  const end = url.indexOf("?", start)
  return end === -1 ? url.slice(start) : url.slice(start, end)
}
