import { expect, test } from "bun:test"
import { rmSync } from "node:fs"
import { keep, openTestStore, pathIn, putAside } from "../helpers/disk-store.ts"
import { opaqueLayer } from "../helpers/images.ts"
import { tempDir } from "../helpers/temp-dir.ts"

test("what is evicted while the store is verified is neither wrong nor unreadable", async () => {
  const root = tempDir()
  const { store } = openTestStore(root)
  const blobs = Array.from({ length: 20 }, (_, seed) => opaqueLayer(3_000_000, seed))
  for (const blob of blobs) await keep(store, blob)
  const verifying = store.verifyAll()
  for (const { digest } of blobs.slice(1)) rmSync(pathIn(root, digest))
  const { checked, wrong, unreadable } = await verifying

  expect({ checked, wrong, unreadable }).toEqual({ checked: 1, wrong: [], unreadable: [] })
  expect(putAside(root)).toEqual([])
  expect(await store.stats()).toMatchObject({ blobs: 1 })
  await store.close()
})
