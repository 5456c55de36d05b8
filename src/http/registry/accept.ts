import { bareMediaType, isIndexType, isManifestType } from "../../oci/media-type.ts"

/**
 * True when a client takes single manifests but no index (RFC 9110, 12.5.1): then it gets the manifest of the default
 * platform. Clients that name nothing, everything, or only what is not here get the native document.
 */
export function wantsSingleManifest(accept: string | null): boolean {
  if (accept === null) return false
  const types = accept
    .split(",")
    .filter((part) => !isRefused(part))
    .map(bareMediaType)
  const takesIndex = types.some(
    (type) => isIndexType(type) || type === "*/*" || type === "application/*" || type === "application/json",
  )
  return !takesIndex && types.some(isManifestType)
}

const isRefused = (part: string): boolean => /;\s*q\s*=\s*0(?:\.0{1,3})?\s*(?:;|$)/i.test(part)
