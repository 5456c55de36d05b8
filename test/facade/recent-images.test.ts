import { expect, test } from "bun:test"
import type { ServedImage } from "../../src/facade/composer.ts"
import { RecentImages } from "../../src/facade/recent-images.ts"
import { type Digest, digestOf } from "../../src/oci/digest.ts"
import { OCI_MANIFEST } from "../../src/oci/media-type.ts"
import type { DocumentStore, ImageLog } from "../../src/store/store.ts"
import { byTrust } from "../helpers/by-trust.ts"
import { manualClock } from "../helpers/manual-clock.ts"
import { memoryImages } from "../helpers/memory-images.ts"

const MIB = 1024 * 1024

function imageOf(index: number): ServedImage {
  const bytes = new Uint8Array(MIB).fill(index)
  const root = { descriptor: { mediaType: OCI_MANIFEST, digest: digestOf(bytes, "sha256"), size: MIB }, bytes }
  return { root, single: root, documents: new Map([[root.descriptor.digest, root]]), blobs: new Map() }
}

test("the images of all names together are held within bounded memory, the latest ones first", () => {
  const documents: DocumentStore = { get: async () => null, put: async () => {} }
  const log: ImageLog = { record: async () => {}, recall: async () => [] }
  const recent = new RecentImages({ clock: manualClock(), log, documents, readers: byTrust(memoryImages()) })
  const digests: Digest[] = []
  for (let index = 0; index < 100; index += 1) {
    const image = imageOf(index)
    digests.push(image.root.descriptor.digest)
    recent.remember(`fixed/${index}`, image)
  }
  const held = digests.map((digest, index) => recent.find(`fixed/${index}`, digest) !== null)

  expect(held.filter(Boolean).length).toBeWithin(16, 33)
  expect(held.lastIndexOf(false)).toBeLessThan(held.indexOf(true))
  expect(held.at(-1)).toBe(true)
})
