import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { existsSync, readFileSync, truncateSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { type Crowd, openCrowd } from "../../bench/memory.ts"
import { image, opaqueLayer } from "../helpers/images.ts"
import { type PullServer, startPullServer } from "../helpers/pull-server.ts"
import { tempDir } from "../helpers/temp-dir.ts"
import { until } from "../helpers/until.ts"

setDefaultTimeout(120_000)

const MIB = 1024 * 1024
const HUGE = 1024 * MIB
const CLIENTS = 200
/** A client that cost 1 MiB, or a blob that was held, would break it; so do bytes that wait for the collector once they are sent. */
const MAX_GROWTH = 120 * MIB

/** Zeros take no room on the disk of the upstream. */
function zeros(size: number) {
  const file = join(tempDir(), "zeros")
  writeFileSync(file, "")
  truncateSync(file, size)
  const hasher = new Bun.CryptoHasher("sha256")
  for (const block = new Uint8Array(MIB); size > 0; size -= MIB) hasher.update(block)
  return { file, digest: `sha256:${hasher.digest("hex")}` }
}

describe("[F6] memory of the binary does not grow with the size of a blob or the number of its clients", () => {
  const { digest, file } = zeros(HUGE)
  const path = `/v2/fixed/a/blobs/${digest}`
  let server: PullServer

  beforeAll(async () => {
    const huge = { ...opaqueLayer(0), digest, size: HUGE }
    server = await startPullServer({
      mode: "binary",
      images: { a: await image({ layers: [huge] }) },
      registry: { storeMinFreeBytes: 0 },
    })
    server.upstream.roles.push((_, { pathname }) => (pathname.endsWith(digest) ? new Response(Bun.file(file)) : null))
    expect((await server.raw("HEAD", path)).header("content-length")).toBe(String(HUGE))
  })
  afterAll(async () => await server.stop())

  const memory = (key: "VmRSS" | "VmHWM"): number => {
    const status = readFileSync(`/proc/${server.facade.pid}/status`, "utf8")
    return Number(new RegExp(`^${key}:\\s+(\\d+) kB`, "m").exec(status)?.[1]) * 1024
  }

  /** 200 clients, of which 100 stall, until the others have read this much together. */
  async function growthWith(use: (crowd: Crowd) => Promise<void>): Promise<number> {
    const before = memory("VmRSS")
    writeFileSync(`/proc/${server.facade.pid}/clear_refs`, "5") // proc(5): the peak begins anew
    const crowd = await openCrowd(server.facade.url, path, CLIENTS)
    await use(crowd)
    const growth = memory("VmHWM") - before
    expect(crowd.cutOff).toEqual([])
    crowd.leave()
    return growth
  }

  const readTogether = (bytes: number) => async (crowd: Crowd) => await until(() => crowd.received() > bytes, 60_000)

  test("while it is fetched, once for all", async () => {
    const growth = await growthWith(readTogether(4 * HUGE)) // most of it when all are behind the transfer

    expect(growth).toBeLessThan(MAX_GROWTH)
    expect(server.upstream.seen.filter((seen) => seen.method === "GET" && seen.path.endsWith(digest)).length).toBe(1)
  })

  test("from the store", async () => {
    const whole = await fetch(`${server.facade.url}${path}`)
    let received = 0
    for await (const chunk of whole.body ?? []) received += chunk.byteLength
    expect(received).toBe(HUGE)
    const hex = digest.slice("sha256:".length)
    await until(() => existsSync(join(server.facade.dir, "store/v1/blobs/sha256", hex.slice(0, 2), hex)))

    expect(await growthWith(readTogether(2 * HUGE))).toBeLessThan(MAX_GROWTH)
  })
})
