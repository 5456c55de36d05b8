import { expect, test } from "bun:test"
import { readdirSync, utimesSync } from "node:fs"
import { join } from "node:path"
import { digestOf } from "../../src/oci/digest.ts"
import { openTestStore } from "../helpers/disk-store.ts"
import { tempDir } from "../helpers/temp-dir.ts"

const root = { digest: digestOf("x"), size: 1, mediaType: "text/plain" }
const record = (name: string) => ({ name, root, single: null, documents: [root], blobs: [] })

test("nothing is left of names whose images nobody uses any more, and the others stay", async () => {
  const dir = tempDir()
  const { store } = openTestStore(dir)
  for (let at = 0; at < 20; at += 1) await store.images.record(record(`remote/${at}`))
  const images = join(dir, "v1/images")
  for (const name of readdirSync(images))
    for (const file of readdirSync(join(images, name))) utimesSync(join(images, name, file), 1, 1)
  await store.images.record(record("remote/new"))

  await store.collect()
  expect(readdirSync(images)).toHaveLength(1)
  expect(await store.images.recall("remote/new")).toHaveLength(1)

  await openTestStore(dir).store.images.record(record("remote/0"))
  expect(await store.images.recall("remote/0")).toHaveLength(1)
})
