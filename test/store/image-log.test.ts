import { describe, expect, test } from "bun:test"
import { readdirSync, rmSync, utimesSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { digestOf } from "../../src/oci/digest.ts"
import type { DiskStore } from "../../src/store/disk.ts"
import type { ImageRecord } from "../../src/store/store.ts"
import { PRODUCTION } from "../../src/tuning.ts"
import { openTestStore } from "../helpers/disk-store.ts"
import { tempDir } from "../helpers/temp-dir.ts"

const descriptor = (text: string) => ({ mediaType: "text/plain", digest: digestOf(text), size: text.length })

const record = (name: string, root: string, layer: string): ImageRecord => ({
  name,
  root: descriptor(root),
  single: null,
  documents: [descriptor(root)],
  blobs: [{ descriptor: descriptor(layer), from: null, trust: "operator" }],
})

const recalled = async (store: DiskStore, name: string) =>
  (await store.images.recall(name)).map(({ image }) => image.root.digest)

const notes = (root: string) =>
  readdirSync(join(root, "v1/images"), { recursive: true, withFileTypes: true }).flatMap((file) =>
    file.isFile() ? [join(file.parentPath, file.name)] : [],
  )

describe("the log of images in use", () => {
  test("what another process notes, renews or removes is seen, though notes are read once", async () => {
    const root = tempDir()
    const [{ store: one }, { store: other }] = [openTestStore(root), openTestStore(root)]
    await one.images.record(record("a", "first", "layer"))
    expect(await recalled(other, "a")).toEqual([descriptor("first").digest])
    await one.images.record(record("a", "second", "layer"))
    expect((await recalled(other, "a")).toSorted()).toEqual(
      [descriptor("first").digest, descriptor("second").digest].toSorted(),
    )

    const [file = ""] = notes(root).filter((path) => path.includes(descriptor("first").digest.slice(7)))
    const expired = (Date.now() - PRODUCTION.recentMs) / 1000 - 10
    utimesSync(file, expired, expired)
    expect(await recalled(other, "a")).toEqual([descriptor("second").digest])
    utimesSync(file, new Date(), new Date())
    expect(await recalled(other, "a")).toHaveLength(2)
    for (const path of notes(root)) rmSync(path)
    expect(await recalled(other, "a")).toEqual([])
    await Promise.all([one.close(), other.close()])
  })

  test("a note that is another one now is read again, and a torn one is none", async () => {
    const root = tempDir()
    const [{ store: one }, { store: other }] = [openTestStore(root), openTestStore(root)]
    await one.images.record(record("a", "first", "layer"))
    expect(await recalled(other, "a")).toHaveLength(1)
    const [file = ""] = notes(root)
    writeFileSync(file, "torn")

    expect(await recalled(other, "a")).toEqual([])
    await Promise.all([one.close(), other.close()])
  })
})
