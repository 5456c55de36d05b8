import type { BlobSource } from "../blob/blob.ts"
import type { Descriptor } from "../oci/descriptor.ts"
import type { Digest } from "../oci/digest.ts"
import type { Trust } from "../oci/reference.ts"

export interface BlobEntry {
  readonly descriptor: Descriptor
  /** The image reference under which the bytes can be found again; null where they are made here. */
  readonly from: string | null
  readonly trust: Trust
  /** Where the bytes are, best place first. */
  readonly sources: readonly BlobSource[]
}

/** A blob that several parts of the image have can be had from wherever one of them has it. */
export function mergedBlobs(entries: readonly BlobEntry[]): ReadonlyMap<Digest, BlobEntry> {
  const merged = new Map<Digest, BlobEntry>()
  const places = new Set<string>()
  for (const entry of entries) {
    const { descriptor, from, sources, trust } = entry
    const known = merged.get(descriptor.digest)
    const placeOf = ({ name, origin }: BlobSource) => [descriptor.digest, from, trust, name, origin].join("\n")
    const more = sources.filter((source) => !places.has(placeOf(source)))
    for (const source of sources) places.add(placeOf(source))
    if (known === undefined) merged.set(descriptor.digest, entry)
    else if (more.length > 0) merged.set(descriptor.digest, { ...known, sources: [...known.sources, ...more] })
  }
  return merged
}
