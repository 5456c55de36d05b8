import { expect, test } from "bun:test"
import type { ServedImage } from "../../src/facade/composer.ts"
import { RecentImages } from "../../src/facade/recent-images.ts"
import { type Digest, digestOf } from "../../src/oci/digest.ts"
import { OCI_MANIFEST } from "../../src/oci/media-type.ts"
import type { DocumentStore, ImageLog } from "../../src/store/store.ts"
import { PRODUCTION } from "../../src/tuning.ts"
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
  const recent = new RecentImages({
    clock: manualClock(),
    recentMs: PRODUCTION.recentMs,
    log,
    documents,
    readers: byTrust(memoryImages()),
  })
  const digests: Digest[] = []
  for (let index = 0; index < 100; index += 1) {
    const image = imageOf(index)
    digests.push(image.root.descriptor.digest)
    recent.remember(`fixed/${index}`, image)
  }
  const held = digests.map((digest, index) => recent.find(`fixed/${index}`, digest, async () => true) !== null)

  expect(held.filter(Boolean).length).toBeWithin(16, 33)
  expect(held.lastIndexOf(false)).toBeLessThan(held.indexOf(true))
  expect(held.at(-1)).toBe(true)
})

test("a pull keeps an image readable that its name has left, but not one whose name was removed", async () => {
  const documents: DocumentStore = { get: async () => null, put: async () => {} }
  const log: ImageLog = { record: async () => {}, recall: async () => [] }
  const clock = manualClock()
  const { recentMs } = PRODUCTION
  const recent = new RecentImages({ clock, recentMs, log, documents, readers: byTrust(memoryImages()) })
  const image = imageOf(1)
  const { digest } = image.root.descriptor
  let isNamed = true
  const pull = async () => recent.find("fixed/a", digest, async () => isNamed)
  recent.remember("fixed/a", image)
  for (let part = 0; part < 8; part += 1) {
    await clock.advance(recentMs / 4)
    expect(await pull()).toBe(image)
  }
  isNamed = false
  for (let part = 0; part < 4; part += 1) {
    expect(await pull()).toBe(image)
    await clock.advance(recentMs / 4)
  }
  await clock.advance(1)

  expect(await pull()).toBeNull()
})

test("an image that another process has served is readable for what is left of its hour", async () => {
  const image = imageOf(1)
  const { descriptor, bytes } = image.root
  const documents: DocumentStore = { get: async () => new Uint8Array(bytes), put: async () => {} }
  const { recentMs } = PRODUCTION
  const noted = { name: "fixed/a", root: descriptor, single: null, documents: [descriptor], blobs: [] }
  const log: ImageLog = { record: async () => {}, recall: async () => [{ image: noted, ageMs: recentMs - 1000 }] }
  const clock = manualClock()
  const recent = new RecentImages({ clock, recentMs, log, documents, readers: byTrust(memoryImages()) })
  const find = () => recent.find("fixed/a", descriptor.digest, async () => false)

  expect(await recent.recall("fixed/a", descriptor.digest)).not.toBeNull()
  expect(find()).not.toBeNull()
  await clock.advance(1001)
  expect(find()).toBeNull()
})
