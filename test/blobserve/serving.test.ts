import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { type FileServer, startFiles } from "../helpers/files.ts"
import { image, index, layer, platform, sha256, type TestImage } from "../helpers/images.ts"
import { directory, rawLayer, symlink, whiteout } from "../helpers/tar-entries.ts"
import { startUpstream, type UpstreamServer } from "../helpers/upstream-server.ts"

const BIG = "0123456789abcdef".repeat(20_000)
const DAY = 86_400

let upstream: UpstreamServer
let server: FileServer
let app: TestImage

beforeAll(async () => {
  upstream = startUpstream()
  app = await image({
    layers: [
      await layer({ "app/index.html": "first page", "app/old.txt": "old", "etc/base": "base" }),
      await layer({ "app/zstd.txt": "by zstd" }, "zstd"),
      await layer({ "app/plain.txt": "by nothing" }, "plain"),
      rawLayer([
        directory("app"),
        { name: "app/index.html", content: "second page", mtime: DAY },
        { name: "app/big.bin", content: BIG },
        { name: "app/sub/index.html", content: "below" },
        { name: "app/empty.css", content: "" },
        { name: "app/caf\xe9 100%.txt", content: "bytes" },
        { name: "app/null", flag: "3" },
        { name: "pax", flag: "x", content: "26 mtime=9007199254740991\n" },
        { name: "app/late.txt", content: "late" },
        symlink("app/link.js", "/app/index.html"),
        whiteout("app/old.txt"),
      ]),
    ],
  })
  upstream.add("lab/app", "1", app)
  upstream.add("lab/foreign", "1", await image({ architecture: "s390x" }))
  upstream.add(
    "lab/multi",
    "1",
    index([
      [await image({ architecture: "arm64", layers: [await layer({ who: "arm" })] }), platform("arm64")],
      [await image({ layers: [await layer({ who: "amd" })] }), platform("amd64")],
    ]),
  )
  upstream.add("lab/unlisted", "1", app)
  server = await startFiles({
    blobserve: {
      repos: {
        [`${upstream.host}/lab/app`]: { layers: "all", workdir: "/app" },
        [`${upstream.host}/lab/multi`]: {},
        [`${upstream.host}/lab/foreign`]: {},
      },
    },
  })
})

afterAll(async () => {
  await server.stop()
  upstream.stop()
})

const at = (path: string): string => `/${upstream.host}/lab/app:1${path}`
const fixed = (path: string): string => `/${upstream.host}/lab/app@${app.manifest.digest}${path}`

/** Once a layer is complete and verified, answers may be kept. */
async function settled(path: string, init?: RequestInit): Promise<Response> {
  for (;;) {
    const response = await server.get(path, init)
    if (response.headers.get("cache-control") !== "no-store" || response.status >= 400) return response
    await response.arrayBuffer()
  }
}

describe("files of an image", () => {
  test.each([
    ["/index.html", "second page", "text/html; charset=utf-8"],
    ["/", "second page", "text/html; charset=utf-8"],
    ["/sub/", "below", "text/html; charset=utf-8"],
    ["/__files__/index.html", "second page", "text/html; charset=utf-8"],
    ["/link.js", "second page", "text/javascript; charset=utf-8"],
    ["/zstd.txt", "by zstd", "text/plain; charset=utf-8"],
    ["/plain.txt", "by nothing", "text/plain; charset=utf-8"],
    ["/empty.css", "", "text/css; charset=utf-8"],
    ["/caf%E9%20100%25.txt", "bytes", "text/plain; charset=utf-8"],
    ["/big.bin", BIG, "application/octet-stream"],
  ])("%s", async (path, content, type) => {
    const response = await settled(at(path))

    expect({ status: response.status, text: await response.text() }).toEqual({ status: 200, text: content })
    expect(response.headers.get("content-type")).toBe(type)
    expect(response.headers.get("content-length")).toBe(String(content.length))
    expect(response.headers.get("etag")).toBe(`"${sha256(content)}"`)
    expect(response.headers.get("accept-ranges")).toBe("bytes")
    expect(response.headers.get("x-content-type-options")).toBe("nosniff")
    expect(response.headers.get("docker-content-digest")).toBeNull()
    expect(response.headers.get("content-disposition") ?? "").toBe("")
  })

  test("may be kept for ever by digest, and for a minute by tag", async () => {
    const byTag = await settled(at("/index.html"))
    const byDigest = await settled(fixed("/index.html"))

    expect(byTag.headers.get("cache-control")).toBe("public, max-age=60")
    expect(byDigest.headers.get("cache-control")).toBe("public, max-age=31536000, immutable")
    expect(byDigest.headers.get("x-image-digest")).toBe(app.manifest.digest)
    expect(byDigest.headers.get("last-modified")).toBe("Fri, 02 Jan 1970 00:00:00 GMT")
  })

  test.each([
    ["a file that is not there", "/nothing.html"],
    ["what an upper layer hides", "/old.txt"],
    ["a directory without a page", "/sub/deeper/"],
    ["a device", "/null"],
    ["a whiteout", "/.wh.old.txt"],
    ["what is outside the workdir", "/etc/base"],
    ["a name with a slash in it", "/sub%2Findex.html"],
    ["an encoding that is none", "/%zz"],
    ["a name with NUL", "/index.html%00"],
    ["a path that is not in its shortest form", "//index.html"],
    ["a name that no system takes", `/${"x".repeat(256)}`],
    ["a path that is deeper than any", `/${"x/".repeat(256)}f`],
    ["a path that is so below the workdir alone", `/${"x/".repeat(255)}f`],
  ])("answer an error for %s, which nobody keeps", async (_, path) => {
    const response = await server.get(at(path))

    expect(response.status).toBeGreaterThanOrEqual(400)
    expect(response.status).toBeLessThan(500)
    expect(response.headers.get("cache-control")).toBe("no-store")
    expect(response.headers.get("content-type")).toBe("text/plain; charset=utf-8")
    expect(response.headers.get("x-content-type-options")).toBe("nosniff")
  })

  test("HEAD answers as GET does, without the content", async () => {
    for (const path of ["/index.html", "/big.bin", "/nothing"]) {
      const get = await settled(at(path))
      const head = await server.get(at(path), { method: "HEAD" })

      expect(head.status).toBe(get.status)
      expect(await head.text()).toBe("")
      for (const name of ["etag", "content-length", "content-type", "cache-control"])
        expect([name, head.headers.get(name)]).toEqual([name, get.headers.get(name)])
      await get.arrayBuffer()
    }
  })

  test.each([
    ["index.html", "second page"],
    ["big.bin", BIG],
  ])("304, ranges and If-Range of %s", async (name, content) => {
    await (await settled(at(`/${name}`))).arrayBuffer()
    const etag = `"${sha256(content)}"`
    const ask = (headers: Record<string, string>) => server.get(at(`/${name}`), { headers })

    const notModified = await ask({ "if-none-match": `"other", W/${etag}` })
    expect([notModified.status, await notModified.text()]).toEqual([304, ""])
    expect(notModified.headers.get("etag")).toBe(etag)

    const part = await ask({ range: "bytes=2-5" })
    expect([part.status, await part.text()]).toEqual([206, content.slice(2, 6)])
    expect(part.headers.get("content-range")).toBe(`bytes 2-5/${content.length}`)
    const suffix = await ask({ range: "bytes=-3" })
    expect([suffix.status, await suffix.text()]).toEqual([206, content.slice(-3)])
    const beyond = await ask({ range: `bytes=${content.length}-` })
    expect([beyond.status, beyond.headers.get("content-range")]).toEqual([416, `bytes */${content.length}`])

    const same = await ask({ range: "bytes=0-0", "if-range": etag })
    expect([same.status, await same.text()]).toEqual([206, content.slice(0, 1)])
    const changed = await ask({ range: "bytes=0-0", "if-range": '"other"' })
    expect([changed.status, await changed.text()]).toEqual([200, content])
  })

  test("If-Modified-Since counts for the very time that the image says, and without If-None-Match alone", async () => {
    await (await settled(at("/index.html"))).arrayBuffer()
    const status = async (headers: Record<string, string>, path = "/index.html") =>
      (await server.get(at(path), { headers })).status
    const time = "Fri, 02 Jan 1970 00:00:00 GMT"

    expect(await status({ "if-modified-since": time })).toBe(304)
    expect(await status({ "if-modified-since": "Fri, 02 Jan 1970 00:00:01 GMT" })).toBe(200)
    expect(await status({ "if-modified-since": "nonsense" })).toBe(200)
    expect(await status({ "if-modified-since": time, "if-none-match": '"other"' })).toBe(200)
    expect(await status({ "if-modified-since": time }, "/sub/index.html")).toBe(200)
  })

  test("a time that is none is not told", async () => {
    for (const path of ["/sub/index.html", "/late.txt"]) {
      const response = await settled(at(path))
      expect([path, response.status, response.headers.get("last-modified")]).toEqual([path, 200, null])
    }
    expect((await server.get(`/-/api/v1/images/${upstream.host}/lab/app:1?path=/app`)).status).toBe(200)
  })

  test("a directory with a page sends its clients to where the page's links hold", async () => {
    const response = await server.get(at("/sub?x=1"))

    expect([response.status, response.headers.get("location")]).toEqual([302, "./sub/?x=1"])
    expect(response.headers.get("cache-control")).toBe("no-store")
    expect((await server.get(at(""))).headers.get("location")).toBe("./app:1/?x=1".replace("?x=1", ""))
  })

  test("what can only be read cannot be written", async () => {
    for (const method of ["POST", "PUT", "DELETE", "PATCH"]) {
      const response = await server.get(at("/index.html"), { method })
      expect([response.status, response.headers.get("allow")]).toEqual([405, "GET, HEAD"])
    }
  })

  test("an upgrade of the connection is not for us", async () => {
    const response = await server.get(at("/index.html"), { headers: { connection: "upgrade", upgrade: "websocket" } })

    expect([response.status, await response.text()]).toEqual([404, "Not Found"])
  })
})

describe("images", () => {
  test("are of the platform of the server", async () => {
    const arch = process.arch === "arm64" ? "arm" : "amd"

    expect(await server.text(`/${upstream.host}/lab/multi:1/who`)).toBe(arch)
    expect((await server.get(`/${upstream.host}/lab/foreign:1/base.txt`)).status).toBe(404)
  })

  test.each([
    ["without tag or digest", () => `/${upstream.host}/lab/app/index.html`, 404],
    ["not in its canonical form", () => "/ubuntu:24.04/etc/motd", 404],
    ["that is not listed", () => `/${upstream.host}/lab/unlisted:1/index.html`, 403],
    ["that is not there", () => `/${upstream.host}/lab/app:2/index.html`, 404],
    ["with a digest that is none", () => `/${upstream.host}/lab/app@sha256:12/index.html`, 404],
    ["of the machine's own disk", () => "/oci:/etc:latest/passwd", 403],
  ])("%s are refused", async (_, path, status) => {
    const response = await server.get(path())

    expect(response.status).toBe(status)
    expect(response.headers.get("cache-control")).toBe("no-store")
  })
})
