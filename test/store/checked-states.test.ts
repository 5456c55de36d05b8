import { expect, test } from "bun:test"
import { chmodSync, readdirSync, readFileSync, statSync, utimesSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { systemClock } from "../../src/lib/clock.ts"
import type { JsonBlob } from "../../src/oci/descriptor.ts"
import { digestOf } from "../../src/oci/digest.ts"
import { CheckedStates } from "../../src/store/checked-states.ts"
import { DiskStore } from "../../src/store/disk.ts"
import { DiskIndex } from "../../src/store/disk-index.ts"
import { DiskPaths } from "../../src/store/disk-path.ts"
import { createMetrics } from "../../src/telemetry/metrics.ts"
import { PRODUCTION } from "../../src/tuning.ts"
import { opaqueLayer } from "../helpers/images.ts"
import { silentLogger } from "../helpers/silent-logger.ts"
import { tempDir } from "../helpers/temp-dir.ts"

const limits = { maxSizeBytes: 0, minFreeBytes: 0 }
const open = (root: string) =>
  new DiskStore({
    root,
    limits,
    recentMs: PRODUCTION.recentMs,
    clock: systemClock,
    log: silentLogger,
    metrics: createMetrics(),
  })

const { bytes } = opaqueLayer(6 * 1024 * 1024)
const document: JsonBlob = {
  descriptor: { mediaType: "a/b", digest: digestOf(bytes, "sha256"), size: bytes.byteLength },
  bytes,
}

/** A store in which a process has left the document, and what it knew of it. */
async function left(): Promise<string> {
  const root = tempDir()
  const store = open(root)
  await store.maintain()
  await store.put(document)
  await store.close()
  return root
}

/** What the next process takes for right without reading it. */
async function trusted(root: string): Promise<boolean> {
  const store = open(root)
  await store.maintain()
  const found = store.findVerified(document.descriptor)
  await store.close()
  return found !== null
}

const fileOf = (root: string): string => new DiskPaths(root).blob(document.descriptor.digest)

function rewrite(root: string): void {
  const file = fileOf(root)
  chmodSync(file, 0o600)
  writeFileSync(file, new Uint8Array(bytes.byteLength))
}

test("a file that was checked need not be read again by the next process, and by the one after it", async () => {
  const root = await left()

  expect([await trusted(root), await trusted(root), await trusted(root)]).toEqual([true, true, true])
})

/** Bytes that this process has read from anywhere (proc(5)). */
const bytesRead = (): number => Number(/^rchar: (\d+)$/m.exec(readFileSync("/proc/self/io", "utf8"))?.[1])

test("the first request after a start is answered without reading the file", async () => {
  const store = open(await left())
  const before = bytesRead()
  const found = await store.find(document.descriptor, new AbortController().signal)

  expect(found?.kind).toBe("file")
  expect(bytesRead() - before).toBeLessThan(document.descriptor.size / 2)
  await store.close()
})

test("a file that was changed in between is not trusted, even if its time of change says otherwise", async () => {
  const [changed, disguised] = [await left(), await left()]
  const { atime, mtime } = statSync(fileOf(disguised))
  rewrite(changed)
  rewrite(disguised)
  utimesSync(fileOf(disguised), atime, mtime)

  expect([await trusted(changed), await trusted(disguised)]).toEqual([false, false])
})

test("notes that are torn, or gone, are no notes", async () => {
  const [torn, gone] = [await left(), await left()]
  for (const [root, text] of [
    [torn, "0123 {"],
    [gone, ""],
  ] as const) {
    const facts = join(root, "v1/facts/checked")
    for (const shard of readdirSync(facts)) {
      for (const name of readdirSync(join(facts, shard))) writeFileSync(join(facts, shard, name), text)
    }
  }

  expect([await trusted(torn), await trusted(gone)]).toEqual([false, false])
})

test("a command that only looks at the store does not take away what is known of it", async () => {
  const root = await left()
  const tool = open(root)
  await tool.stats()
  await tool.close()

  expect(await trusted(root)).toBe(true)
})

test("after the machine was restarted, or where it does not tell, nothing is trusted", async () => {
  const root = await left()
  const states = new Map<string, string>()
  const facts = {
    get: async (key: string) => states.get(key) ?? null,
    set: async (key: string, value: string) => void states.set(key, value),
  }
  const paths = new DiskPaths(root)
  const statesOf = (bootId: string | null) => {
    const index = new DiskIndex(paths)
    return { index, states: new CheckedStates({ paths, index, facts, bootId }) }
  }
  const first = statesOf("one")
  await first.states.load()
  const { digest, size } = document.descriptor
  const { ino, mtimeMs } = statSync(fileOf(root))
  const checked = `${ino} ${size} ${mtimeMs}`
  first.index.set({ digest, size, usedAt: 1, touchedAt: 1, checked, checkedAt: Date.now() })
  await first.states.save()

  for (const [bootId, expected] of [
    ["one", checked],
    ["two", undefined],
    [null, undefined],
  ] as const) {
    const next = statesOf(bootId)
    await next.states.load()
    expect([bootId, next.index.get(digest)?.checked]).toEqual([bootId, expected])
  }
})
