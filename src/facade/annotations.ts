import type { BaseImage } from "../compose/compose.ts"
import type { Digest } from "../oci/digest.ts"
import { formatReference } from "../oci/reference.ts"
import type { ImageSpec } from "../spec/spec.ts"
import type { StoredReference } from "../upstream/upstream.ts"

/** The original's annotations, which its billing reads. */
export function sizeAnnotations({ baseText }: ImageSpec, { manifest }: BaseImage): Readonly<Record<string, string>> {
  const size = manifest.layers.reduce((sum, { descriptor }) => sum + descriptor.size, 0)
  return { "io.gitpod.workspace-image.size": String(size), "io.gitpod.workspace-image.ref": baseText }
}

/** image-spec: annotations.md. A layout has no name that means anything elsewhere. */
export function baseAnnotations(reference: StoredReference, digest: Digest): Readonly<Record<string, string>> {
  const name = reference.kind === "registry" ? { "org.opencontainers.image.base.name": formatReference(reference) } : {}
  return { ...name, "org.opencontainers.image.base.digest": digest }
}
