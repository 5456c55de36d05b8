import { compileGlob } from "../lib/glob.ts"
import { RegistryError } from "../oci/error.ts"
import { formatReference, formatRepository } from "../oci/reference.ts"
import type { StoredReference } from "./upstream.ts"

/** Decides which images may be used at all. Throws RegistryError DENIED. */
export type UpstreamPolicy = (reference: StoredReference) => void

/** Only repositories that one of the patterns names, like `ghcr.io/acme/*`; null allows all. Layouts are on our own disk. */
export function allowUpstreams(patterns: readonly string[] | null): UpstreamPolicy {
  const matchers = patterns?.map(compileGlob) ?? null
  return (reference) => {
    if (matchers === null || reference.kind === "layout") return
    const repository = formatRepository(reference.repository)
    if (matchers.some((matches) => matches(repository))) return
    const message = `Cannot use image ${formatReference(reference)}: "allowedUpstreams" does not name ${repository}`
    throw new RegistryError("DENIED", message, { detail: "not_allowed" })
  }
}
