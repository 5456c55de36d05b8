import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { type FileServer, startFiles } from "../helpers/files.ts"
import { image, type TestImage } from "../helpers/images.ts"
import { findProgram, needs, run } from "../helpers/programs.ts"
import { directory, rawLayer, symlink, whiteout } from "../helpers/tar-entries.ts"
import { tempDir } from "../helpers/temp-dir.ts"
import { startUpstream, type UpstreamServer } from "../helpers/upstream-server.ts"

const EVIL = `<img src=x onerror=alert(1)>"'&.txt`

let upstream: UpstreamServer
let server: FileServer
let app: TestImage
let name: string

beforeAll(async () => {
  upstream = startUpstream()
  app = await image({
    layers: [
      rawLayer([
        directory("app"),
        { name: "app/old.js", content: "old and long" },
        { name: "app/gone.css", content: "gone" },
        { name: "app/kept.txt", content: "kept", mode: 0o755 },
        { name: `app/${EVIL}`, content: "evil" },
        { name: "app/caf\xc3\xa9", content: "accent" },
        { name: "app/not-text-\xff", content: "bytes" },
        { name: "implied/deeper/file", content: "1" },
      ]),
      rawLayer([
        directory("app"),
        { name: "app/old.js", content: "new" },
        whiteout("app/gone.css"),
        symlink("app/link", "/etc/hosts"),
      ]),
    ],
  })
  upstream.add("lab/app", "1", app)
  name = `${upstream.host}/lab/app`
  server = await startFiles({
    blobserve: { repos: { [name]: { layers: "all" }, [`${upstream.host}/lab/first`]: {} } },
  })
})

afterAll(async () => {
  await server.stop()
  upstream.stop()
})

interface Entry {
  readonly name: string
  readonly type: string
  readonly layer: number
  readonly replacedBy?: number
  readonly removedBy?: number
  readonly url: string | null
}

interface ImageData {
  readonly digest: string
  readonly platform: string
  readonly layers: readonly Record<string, unknown>[]
  readonly directory: { readonly entries: readonly Entry[]; readonly next: string | null }
}

const data = async (path: string) => {
  const response = await server.get(`/-/api/v1/images/${name}:1?path=${path}`)
  return {
    status: response.status,
    type: response.headers.get("content-type"),
    json: (await response.json()) as ImageData,
  }
}

describe("/-/api/v1/images", () => {
  test("tells what layers hold, and how much of it nobody sees", async () => {
    const { json, status, type } = await data("/")

    expect([status, type]).toEqual([200, "application/json"])
    expect([json.digest, json.platform]).toEqual([app.manifest.digest, "linux/amd64"])
    expect(json.layers).toMatchObject([
      {
        digest: app.layers[0]?.digest,
        size: app.layers[0]?.size,
        createdBy: "base layer 0",
        origin: "base",
        files: 7,
        unseenFiles: 2,
        unseenBytes: 16,
      },
      { digest: app.layers[1]?.digest, files: 2, unseenFiles: 0 },
    ])
    expect(json.directory.entries.map(({ name: one, type: kind }) => [one, kind])).toEqual([
      ["app", "directory"],
      ["implied", "directory"],
    ])
  })

  test("tells of a directory what each layer has in it, and what becomes of that", async () => {
    const { json } = await data("/app")
    const brief = json.directory.entries.map((entry) => [
      entry.name,
      entry.layer,
      entry.replacedBy ?? entry.removedBy ?? null,
    ])

    expect(brief).toEqual([
      [EVIL, 0, null],
      ["café", 0, null],
      ["gone.css", 0, 1],
      ["kept.txt", 0, null],
      ["link", 1, null],
      ["not-text-\ufffd", 0, null],
      ["old.js", 1, null],
      ["old.js", 0, 1],
    ])
    const kept = json.directory.entries.find((entry) => entry.name === "kept.txt")
    expect(kept).toMatchObject({ mode: "0755", size: 4, type: "file", url: `/${name}:1/app/kept.txt` })
  })

  test("gives addresses that work, whatever a name is made of", async () => {
    const { json } = await data("/app")
    const urls = json.directory.entries
      .map(({ url }: { url: string | null }) => url)
      .filter((url: string | null) => url !== null)

    expect(urls.length).toBe(5)
    for (const url of urls) expect([url, (await server.get(url)).status]).toEqual([url, 200])
  })

  test.each([["/nothing"], ["/app/kept.txt"]])("%s holds nothing", async (path) => {
    expect((await data(path)).json.directory).toMatchObject({ entries: [], next: null })
  })

  test.each([
    ["an image that is not there", () => `${name}:2`, 404],
    ["one that is not listed", () => `${upstream.host}/lab/other:1`, 403],
    ["a layout that is not listed", () => "oci:/etc:latest", 403],
    ["no image", () => "", 404],
    ["a path behind the image", () => `${name}:1/app`, 404],
    ["a path that no image has", () => `${name}:1?path=${"x/".repeat(256)}f`, 404],
  ])("refuses %s", async (_, path, status) => {
    for (const kind of ["api/v1/images", "images"]) {
      const response = await server.get(`/-/${kind}/${path()}`)
      expect([response.status, response.headers.get("cache-control")]).toEqual([status, "no-store"])
    }
  })
})

describe("/-/images", () => {
  test("a path behind the image is told how to name a directory", async () => {
    expect(await server.text(`/-/images/${name}:1/app`)).toBe(
      `Cannot look inside ${name}: nothing may follow its tag or digest; ?path= names a directory\n`,
    )
  })

  const page = (path: string) => `/-/images/${name}:1?path=${path}`

  test("shows the same to people, with names that stay text", async () => {
    const response = await server.get(page("/app"))
    const text = await response.text()

    expect(response.headers.get("content-type")).toBe("text/html; charset=utf-8")
    expect(response.headers.get("content-security-policy")).toContain("default-src 'none'")
    expect(text).not.toContain("<img")
    expect(text).toContain("&lt;img src=x onerror=alert(1)&gt;&quot;&#x27;&amp;.txt")
    expect(text).toContain("replaced by layer 1")
    expect(text).toContain("removed by layer 1")
    expect(text).not.toContain("<script")
  })

  const chromium = needs("chromium")
  test.skipIf(chromium.isMissing)(
    `looks like something in a browser, without a script${chromium.note}`,
    async () => {
      const shot = join(tempDir(), "page.png")
      const flags = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--hide-scrollbars",
        "--window-size=900,700",
        "--enable-logging=stderr",
      ]
      const profile = `--user-data-dir=${tempDir()}`
      const { code, stderr } = await run([
        findProgram("chromium") ?? "",
        ...flags,
        profile,
        `--screenshot=${shot}`,
        `${server.url}${page("/app")}`,
      ])

      expect(code).toBe(0)
      // What a policy forbids is written to the console
      expect(stderr).not.toMatch(/Content Security Policy|CONSOLE/i)
      const png = readFileSync(shot)
      expect([png.subarray(1, 4).toString(), png.readUInt32BE(16), png.readUInt32BE(20)]).toEqual(["PNG", 900, 700])
      // An empty page of this size has less than 8 kB
      expect(png.byteLength).toBeGreaterThan(20_000)
    },
    60_000,
  )
})
