import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { readFileSync } from "node:fs"
import { type FaultyFacade, startFaultyFacade, storedDigests, storedPath } from "../helpers/faulty-facade.ts"
import { startFaultyUpstream } from "../helpers/faulty-upstream.ts"
import { image, opaqueLayer, sha256 } from "../helpers/images.ts"
import { limitMemory } from "../helpers/memory-limit.ts"
import { tempDir } from "../helpers/temp-dir.ts"
import { until } from "../helpers/until.ts"

setDefaultTimeout(60_000)

const MIB = 1024 * 1024
const limit = limitMemory(200 * MIB)
const note = limit === null ? " (SKIPPED, this machine allows no control groups)" : ""

describe.skipIf(limit === null)(`a container of 200 MiB${note}`, () => {
  const layers = Array.from({ length: 12 }, (_, index) => opaqueLayer((index % 3 === 0 ? 30 : 7) * MIB, index))
  const dir = tempDir()
  const upstream = startFaultyUpstream()
  let server: FaultyFacade

  const start = async () => {
    const images = { a: await image({ layers }) }
    const started = await startFaultyFacade({ dir, upstream, images, wrapper: limit?.wrapper ?? [] })
    await started.facade.get("/v2/fixed/a/manifests/latest")
    return started
  }
  beforeAll(async () => {
    server = await start()
  })
  afterAll(async () => {
    await server.stop()
    upstream.stop()
    limit?.remove()
  })

  test("F10: more blobs at once than it has memory are served, or it is killed and starts again with a clean store", async () => {
    const pulls = [...layers, ...layers, ...layers].map(async (blob) => {
      const pulled = await server.pull(blob).catch(() => null)
      return pulled === null || pulled.body === null ? "broken" : pulled.body.equals(blob.bytes) ? "right" : "wrong"
    })
    const outcomes = await Promise.all(pulls)
    const ended = await Promise.race([server.facade.exited, Bun.sleep(100).then(() => null)])
    if (ended !== null) server = await start()

    expect(outcomes).not.toContain("wrong")
    if (ended === null) expect(outcomes).not.toContain("broken")
    for (const digest of storedDigests(dir)) expect(sha256(readFileSync(storedPath(dir, digest)))).toBe(digest)
    for (const blob of layers) expect((await server.pull(blob)).body?.equals(blob.bytes)).toBe(true)
    await until(() => layers.every(({ digest }) => storedDigests(dir).has(digest)))
  })
})
