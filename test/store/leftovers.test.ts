import { describe, expect, test } from "bun:test"
import { mkdirSync, readdirSync, statSync, utimesSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { parseDigest } from "../../src/oci/digest.ts"
import { openTestStore, pathIn, putAside } from "../helpers/disk-store.ts"
import { opaqueLayer } from "../helpers/images.ts"
import { tempDir } from "../helpers/temp-dir.ts"
import { until } from "../helpers/until.ts"

const DAY_S = 24 * 60 * 60
const KIB = 1024

/** As if it had last been used so many days ago. */
function age(path: string, days: number): void {
  const at = Date.now() / 1000 - days * DAY_S
  utimesSync(path, at, at)
}

/** A store with files that were put aside, so many days ago each. */
async function storeWithAside(days: readonly number[], maxSizeBytes = 0) {
  const root = tempDir()
  const { store } = openTestStore(root, undefined, { maxSizeBytes, minFreeBytes: 0 })
  await store.collect()
  days.forEach((ago, index) => {
    const path = join(root, "v1/bad", `${index}`)
    writeFileSync(path, new Uint8Array(KIB))
    age(path, ago)
  })
  return { root, store }
}

describe("files that were put aside", () => {
  test("are kept for a month, and counted", async () => {
    const { root, store } = await storeWithAside([0, 29, 31, 400])
    expect(await store.stats()).toMatchObject({ putAside: 4, putAsideBytes: 4 * KIB })
    await store.collect()

    expect(putAside(root).toSorted()).toEqual(["0", "1"])
    await store.close()
  })

  test("are part of what the store may take, and make room before any blob does", async () => {
    const { root, store } = await storeWithAside([1, 3, 2], 10 * KIB)
    await store.collect()
    const [kept, more] = [opaqueLayer(6 * KIB, 1), opaqueLayer(2 * KIB, 2)]
    for (const { digest, mediaType, bytes, size } of [kept, more]) {
      const spool = await store.spool(size)
      await spool.write(bytes)
      await spool.keep({ digest: parseDigest(digest), mediaType, size })
      await spool.close()
    }

    expect(putAside(root).toSorted()).toEqual(["0", "2"])
    expect([kept, more].map(({ digest }) => statSync(pathIn(root, digest)).size)).toEqual([6 * KIB, 2 * KIB])
    await store.close()
  })
})

describe("facts", () => {
  test("are forgotten when nobody has asked for a month, and counted", async () => {
    const root = tempDir()
    const { store } = openTestStore(root)
    const facts = store.facts("kind")
    for (const key of ["old", "used", "new"]) await facts.set(key, key)
    const files = () => readdirSync(join(root, "v1/facts/kind"), { recursive: true, withFileTypes: true })
    const paths = () => files().flatMap((file) => (file.isFile() ? [join(file.parentPath, file.name)] : []))
    for (const path of paths()) age(path, 31)
    await facts.get("used")
    await until(() => paths().some((path) => statSync(path).mtimeMs > Date.now() - 60_000))
    await facts.set("new", "again")
    expect(await store.stats()).toMatchObject({ facts: 3 })
    await store.collect()

    expect([await facts.get("old"), await facts.get("used"), await facts.get("new")]).toEqual([null, "used", "again"])
    await store.close()
  })

  test("that somebody else has put there are no obstacle", async () => {
    const root = tempDir()
    const { store } = openTestStore(root)
    mkdirSync(join(root, "v1/facts/kind/ab/dir"), { recursive: true })
    await store.collect()

    expect(await store.stats()).toMatchObject({ factBytes: expect.any(Number) })
    await store.close()
  })
})
