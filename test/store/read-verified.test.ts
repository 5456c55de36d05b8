import { expect, test } from "bun:test"
import { chmodSync, renameSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { DiskPaths } from "../../src/store/disk-path.ts"
import { descriptorOf, keep, openTestStore } from "../helpers/disk-store.ts"
import { type Content, opaqueLayer } from "../helpers/images.ts"
import { output } from "../helpers/programs.ts"
import { tempDir } from "../helpers/temp-dir.ts"

const SMALL = 64 * 1024

/** A store that holds the blob, and where it has it. */
async function holding(blob: Content) {
  const root = tempDir()
  const { store } = openTestStore(root)
  await keep(store, blob)
  const descriptor = descriptorOf(blob)
  const path = new DiskPaths(root).blob(descriptor.digest)
  chmodSync(path, 0o600)
  return { store, path, root, descriptor }
}

test.each([0, 1, 4096, SMALL])("a file of %d bytes that was checked is read at once", async (size) => {
  const blob = opaqueLayer(size)
  const { descriptor, store } = await holding(blob)

  expect(store.readVerified(descriptor)).toEqual(blob.bytes)
  await store.close()
})

test("a larger file is not read, and neither is one whose size is claimed to be another", async () => {
  const large = opaqueLayer(SMALL + 1)
  const small = opaqueLayer(100)
  const { descriptor, store } = await holding(large)
  await keep(store, small)

  expect(store.readVerified(descriptor)).toBeNull()
  expect(store.readVerified({ ...descriptorOf(small), size: 99 })).toBeNull()
  await store.close()
})

const blob = opaqueLayer(4096, 1)
const other = opaqueLayer(4096, 2)
type Place = Awaited<ReturnType<typeof holding>>

test.each<[string, (place: Place) => unknown]>([
  ["was removed", ({ path }) => rmSync(path)],
  ["was cut short", ({ path }) => truncateSync(path, 4095)],
  ["was written again", ({ path }) => writeFileSync(path, other.bytes)],
  [
    "was replaced by another",
    ({ path, root }) => {
      writeFileSync(join(root, "other"), other.bytes)
      renameSync(join(root, "other"), path)
    },
  ],
  [
    "became a link to the same bytes",
    ({ path, root }) => {
      renameSync(path, join(root, "same"))
      symlinkSync(join(root, "same"), path)
    },
  ],
  [
    "became a pipe that nobody writes to",
    async ({ path }) => {
      rmSync(path)
      await output(["mkfifo", path])
    },
  ],
])("a file that %s is not what was checked", async (_, change) => {
  const place = await holding(blob)
  await change(place)

  expect(place.store.readVerified(place.descriptor)).toBeNull()
  await place.store.close()
})
