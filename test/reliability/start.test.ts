import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { type FaultyFacade, startFaultyFacade, storedPath } from "../helpers/faulty-facade.ts"
import { image, opaqueLayer } from "../helpers/images.ts"
import { needs } from "../helpers/programs.ts"
import { readTrace, tracing } from "../helpers/strace.ts"
import { memoryDir } from "../helpers/temp-dir.ts"
import { until } from "../helpers/until.ts"

setDefaultTimeout(30_000)

const BLOBS = 100_000
const strace = needs("strace")

/** A store with so many blobs of one byte; nobody has looked at them yet. */
function fillStore(dir: string): void {
  const root = join(dir, "store/v1/blobs/sha256")
  for (let shard = 0; shard < 256; shard += 1)
    mkdirSync(join(root, shard.toString(16).padStart(2, "0")), { recursive: true, mode: 0o700 })
  writeFileSync(join(dir, "store/v1/layout"), "registry-facade store 1\n")
  for (let blob = 0; blob < BLOBS; blob += 1) {
    const name = `${(blob % 256).toString(16).padStart(2, "0")}${blob.toString(16).padStart(62, "0")}`
    writeFileSync(join(root, name.slice(0, 2), name), "x", { mode: 0o400 })
  }
}

describe.skipIf(strace.isMissing)(`a start on a store of ${BLOBS} blobs${strace.note}`, () => {
  const blob = opaqueLayer(70_000, 1)
  const dir = memoryDir() // so many files take a disk a while
  let server: FaultyFacade
  afterAll(async () => await server.stop())

  test("I2: answers before it has looked at them: what it reads until then does not depend on how many there are", async () => {
    fillStore(dir)
    writeFileSync(storedPath(dir, blob.digest), blob.bytes, { mode: 0o400 })
    const trace = join(dir, "trace")
    server = await startFaultyFacade({
      dir,
      images: { a: await image({ layers: [blob] }) },
      wrapper: tracing(trace, "getdents64,lstat,newfstatat,statx,sendto,write"),
    })
    const { status, body } = await server.pull(blob)
    const walked = () =>
      readTrace(trace).filter(({ name, args }) => /stat/.test(name) && args.includes("/blobs/sha256/")).length
    const untilAnswer = walked()
    const store = async () => await server.metric("store_bytes")

    expect([status, body?.equals(blob.bytes)]).toEqual([200, true])
    expect(server.upstream.asked(blob.digest)).toEqual([])
    expect(untilAnswer).toBeLessThan(BLOBS / 10)
    // And then it has: what the store holds is known in the end
    await until(async () => (await store()) > BLOBS, 90_000)
    expect(walked()).toBeGreaterThanOrEqual(BLOBS)
  }, 150_000)
})
