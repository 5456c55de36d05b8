import { expect, test } from "bun:test"
import { rmSync } from "node:fs"
import { join } from "node:path"
import { descriptorOf, openTestStore } from "../helpers/disk-store.ts"
import { createFakeClock } from "../helpers/fake-clock.ts"
import { content } from "../helpers/images.ts"
import { tempDir } from "../helpers/temp-dir.ts"

test.each(["v1", "v1/blobs", ""])("a store whose %j is removed while it is used is made again", async (removed) => {
  const root = join(tempDir(), "store")
  const clock = createFakeClock()
  const { store } = openTestStore(root, clock)
  const keepOne = async (text: string) => {
    const blob = content("application/octet-stream", text)
    const spool = await store.spool(blob.size)
    try {
      await spool.write(blob.bytes)
      await spool.keep(descriptorOf(blob))
    } finally {
      await spool.close()
    }
    return store.findVerified(descriptorOf(blob))
  }
  expect(await keepOne("before")).not.toBeNull()
  rmSync(join(root, removed), { recursive: true })
  await keepOne("meanwhile").catch(() => {}) // served without being kept
  clock.advance(60_000)

  expect(await keepOne("after")).not.toBeNull()
  await store.close()
})
