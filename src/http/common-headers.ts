/** What every answer on the registry's port has. */
export const COMMON_HEADERS = {
  "docker-distribution-api-version": "registry/2.0",
  "x-content-type-options": "nosniff",
} as const

/** Adds them where an answer was made without; one that has the last has all. */
export function withCommonHeaders(response: Response): Response {
  const { headers } = response
  if (headers.has("x-content-type-options")) return response
  for (const [name, value] of Object.entries(COMMON_HEADERS)) headers.set(name, value)
  return response
}
