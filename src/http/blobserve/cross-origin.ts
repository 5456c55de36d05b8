import type { ServedRepository } from "./repository.ts"

/** Lets the pages of listed origins read the files (Fetch Standard, "CORS protocol"). */
export function crossOriginHeaders(
  { cors }: ServedRepository,
  { headers }: Request,
  vary: readonly string[] = [],
): Record<string, string> {
  if (cors.length === 0) return vary.length === 0 ? {} : { vary: vary.join(", ") }
  const isOpen = cors.includes("*")
  const origin = headers.get("origin") ?? ""
  const varies = isOpen ? vary : [...vary, "Origin"]
  return {
    "cross-origin-resource-policy": "cross-origin",
    ...(isOpen ? { "access-control-allow-origin": "*" } : {}),
    ...(!isOpen && cors.includes(origin) ? { "access-control-allow-origin": origin } : {}),
    ...(varies.length === 0 ? {} : { vary: varies.join(", ") }),
  }
}

/** OPTIONS: what may be asked, and by whom. */
export function preflight(repository: ServedRepository, request: Request): Response {
  const headers = {
    allow: "GET, HEAD, OPTIONS",
    "cache-control": "no-store",
    ...crossOriginHeaders(repository, request),
    ...(repository.cors.length === 0
      ? {}
      : { "access-control-allow-methods": "GET, HEAD, OPTIONS", "access-control-allow-headers": "*" }),
  }
  return new Response(null, { status: 204, headers })
}
