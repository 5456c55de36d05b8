import { afterAll, beforeAll, expect, test } from "bun:test"
import { type RunningFacade, startFacade } from "../helpers/facade.ts"
import { image, layer } from "../helpers/images.ts"
import { rawLayer, symlink } from "../helpers/tar-entries.ts"
import { until } from "../helpers/until.ts"
import { startUpstream, type UpstreamServer } from "../helpers/upstream-server.ts"

/** The host's own file, which nothing in an image may lead to. */
const CANARY = "/etc/hostname"

let upstream: UpstreamServer
let facade: RunningFacade
let url: string

beforeAll(async () => {
  upstream = startUpstream()
  const links = rawLayer([
    symlink("up", `../../../../../..${CANARY}`),
    symlink("absolute", CANARY),
    symlink("proc", "/proc/self/environ"),
    symlink("dir", "/etc"),
    { name: `../../..${CANARY}-outside`, content: "inside" },
    { name: "fine.txt", content: "fine" },
  ])
  upstream.add("lab/links", "1", await image({ layers: [links] }))
  const base = `${upstream.host}/lab/base:1`
  upstream.add("lab/base", "1", await image({ layers: [await layer({ "etc/base": "base" }, "zstd")] }))
  const repos = { [`${upstream.host}/lab/links`]: { layers: "all" }, "fixed/app": { layers: "all" } }
  facade = await startFacade({
    mode: "binary",
    specs: { app: { baseRef: base, layers: [{ files: { "/etc/added": "added" } }] } },
    config: { blobserve: { port: 0, host: "127.0.0.1", repos } },
  })
  const listening = () => facade.logs.find(({ message }) => message === "blob HTTP server listening")
  await until(() => listening() !== undefined)
  url = `http://${listening()?.["addr"]}`
})

afterAll(async () => {
  await facade.stop()
  upstream.stop()
})

const get = async (path: string) => await fetch(`${url}/${path}`, { redirect: "manual" })

test("the binary scans layers on its threads, and serves files of composed images", async () => {
  expect(await (await get("fixed/app:latest/etc/added")).text()).toBe("added")
  expect(await (await get("fixed/app:latest/etc/base")).text()).toBe("base")
  expect(await (await get("-/images/fixed/app:latest?path=/etc")).text()).toContain("added")
})

test("no link and no name leads out of an image", async () => {
  const image_ = `${upstream.host}/lab/links:1`

  for (const path of [
    "up",
    "absolute",
    "proc",
    "dir/hostname",
    "etc/passwd",
    "..%2f..%2fetc%2fhostname",
    "%2e%2e/%2e%2e/etc/hostname",
  ]) {
    const response = await get(`${image_}/${path}`)
    expect([path, response.status >= 400]).toEqual([path, true])
    await response.body?.cancel()
  }
  expect(await (await get(`${image_}${CANARY}-outside`)).text()).toBe("inside")
  expect(await Bun.file(`${CANARY}-outside`).exists()).toBe(false)
  expect(await (await get(`${image_}/fine.txt`)).text()).toBe("fine")
})

test("requests that are no paths are refused, and nothing is left open", async () => {
  for (const path of [
    "",
    "/",
    "etc/passwd",
    "//etc/passwd",
    `${upstream.host}/lab/links:1`,
    "oci:/etc:latest/passwd",
    "%00",
    "-/api/v1/images/",
  ]) {
    const response = await get(path)
    expect([path, response.status >= 400 && response.status < 500]).toEqual([path, true])
  }
})
