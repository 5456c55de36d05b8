import { expect, test } from "bun:test"
import { giveBack } from "../../src/lib/sole-bytes.ts"
import { openTestStore } from "../helpers/disk-store.ts"
import { tempDir } from "../helpers/temp-dir.ts"

test("each who reads from a spool of the disk has bytes of their own, which they may give back", async () => {
  const { store } = openTestStore(tempDir())
  const spool = await store.spool(3)
  await spool.write(new Uint8Array([1, 2, 3]))
  const [first, second] = [await spool.read(0, 3), await spool.read(0, 3)]
  giveBack(first)

  expect(first.byteLength).toBe(0)
  expect([...second]).toEqual([1, 2, 3])
  await spool.close()
  await store.close()
})
