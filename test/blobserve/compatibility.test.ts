import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { existsSync, readdirSync, rmSync, statSync } from "node:fs"
import { join } from "node:path"
import { createMetrics } from "../../src/telemetry/metrics.ts"
import type { Mode } from "../helpers/facade.ts"
import { type FileServer, startFiles } from "../helpers/files.ts"
import { image, index, layer, platform, sha256, type TestImage } from "../helpers/images.ts"
import { stoppedAfterEach } from "../helpers/stopped.ts"
import { tempDir } from "../helpers/temp-dir.ts"
import { until } from "../helpers/until.ts"
import { startUpstream, type UpstreamServer } from "../helpers/upstream-server.ts"

setDefaultTimeout(30_000)

/** What the original's callers and its own tests rely on, told in requests. */
const VARS = JSON.stringify({ ide: "https://ide.example/a__files__/x", supervisor: "/_supervisor/y" })
const INLINE = { "x-blobserve-inlinevars": VARS }

describe.each(["source", "binary"] as Mode[])("from %s,", (mode) => {
  let upstream: UpstreamServer
  let server: FileServer
  let code: TestImage

  beforeAll(async () => {
    upstream = startUpstream()
    code = await image({
      layers: [
        await layer({
          "ide/index.html": "aaa\nbbb\n{{A}} {{B}}\n",
          "ide/main.js": "1 foobar\n2 foobar\n3",
          "ide/lines.txt": "one\ntwo\nthree",
          "ide/sub/index.html": "aaa",
          "ide/f1": "hello world",
          "layer.txt": "first",
        }),
        await layer({ "layer.txt": "second" }),
      ],
    })
    upstream.add("ide/code", "commit-1", code)
    server = await startFiles({
      mode,
      blobserve: {
        repos: {
          [`${upstream.host}/ide/code`]: {
            workdir: "/ide",
            replacements: [
              { path: "/ide/f1", search: "hello world", replacement: "foo" },
              { path: "/ide/main.js", search: "foobar", replacement: "baz" },
              { path: "ide/lines.txt", search: "one\ntwo", replacement: "1 and 2" },
              { path: "/not/there", search: "a", replacement: "b" },
            ],
            inlineStatic: [
              { search: "aaa", replacement: `\${ide}` },
              { search: "bbb", replacement: `\${supervisor}/nls.js` },
            ],
            cors: ["https://ide.example"],
          },
          [`${upstream.host}/ide/whole`]: { layers: "first" },
        },
      },
    })
  })

  afterAll(async () => {
    await server.stop()
    upstream.stop()
  })

  const at = (path: string): string => `/${upstream.host}/ide/code:commit-1/${path}`
  const ask = async (path: string, headers: Record<string, string> = {}) => {
    const response = await server.get(at(path), { headers })
    return { response, text: await response.text() }
  }

  describe("replacements", () => {
    test("A-35: leave nothing of what was longer before", async () => {
      const { response, text } = await ask("f1")

      expect([text, response.headers.get("content-length")]).toEqual(["foo", "3"])
    })

    test("A-36: change the text that they name, and only that", async () => {
      expect((await ask("main.js")).text).toBe("1 baz\n2 baz\n3")
    })

    test("A-37: reach across lines", async () => {
      expect((await ask("lines.txt")).text).toBe("1 and 2\nthree")
    })

    test("give a content of its own: its length, its tag, its ranges", async () => {
      const { response, text } = await ask("main.js")
      const part = await ask("main.js", { range: "bytes=2-4" })
      const same = await ask("main.js", { "if-none-match": `"${sha256("1 baz\n2 baz\n3")}"` })

      expect(response.headers.get("content-length")).toBe(String(text.length))
      expect(response.headers.get("etag")).toBe(`"${sha256(text)}"`)
      expect([part.response.status, part.text, part.response.headers.get("content-range")]).toEqual([
        206,
        "baz",
        `bytes 2-4/${text.length}`,
      ])
      expect(same.response.status).toBe(304)
    })
  })

  describe("variables in pages", () => {
    const page = "https://ide.example/a__files__/x\n/_supervisor/y/nls.js\n{{A}} {{B}}\n"

    test("A-40, A-58: are put in where the header and the rules are there", async () => {
      for (const path of ["", "index.html"]) {
        const { response, text } = await ask(path, INLINE)

        expect(text).toBe(page)
        expect(response.headers.get("cache-control")).toMatch(/^no-/)
        expect(response.headers.get("etag")).toBe(`"${sha256(page)}"`)
        expect(response.headers.get("vary")).toContain("X-BlobServe-InlineVars")
      }
    })

    test("A-39: change nothing without the header, and caches know of it", async () => {
      const { response, text } = await ask("index.html")

      expect(text).toBe("aaa\nbbb\n{{A}} {{B}}\n")
      expect(response.headers.get("vary")).toContain("X-BlobServe-InlineVars")
    })

    test("A-38: change nothing where there are no rules", async () => {
      upstream.add("ide/whole", "1", code)
      const response = await server.get(`/${upstream.host}/ide/whole:1/ide/`, { headers: INLINE })

      expect(await response.text()).toBe("aaa\nbbb\n{{A}} {{B}}\n")
    })

    test("change nothing but pages", async () => {
      expect((await ask("main.js", INLINE)).text).toBe("1 baz\n2 baz\n3")
    })

    test.each([
      ["not JSON"],
      ["[1]"],
      ['{"ide":1}'],
      ['{"ide":"\\"><script>alert(1)</script>"}'],
      [`{"ide":"'+alert(1)+'"}`],
      ['{"ide":"a b"}'],
    ])("%s is no set of variables, so the page stays as it is", async (header) => {
      expect((await ask("index.html", { "x-blobserve-inlinevars": header })).text).toBe("aaa\nbbb\n{{A}} {{B}}\n")
    })
  })

  describe("the contract with ws-proxy and ide-proxy", () => {
    test("A-57, A-61: both forms of a path give the same, also with the prefix that ide-proxy strips", async () => {
      const [plain, files, mounted] = await Promise.all([
        server.text(at("main.js")),
        server.text(`/${upstream.host}/ide/code:commit-1/__files__/main.js`),
        server.text(`/blobserve/${upstream.host}/ide/code:commit-1/__files__/main.js`),
      ])

      expect([files, mounted]).toEqual([plain, plain])
    })

    test("HEAD warms up, and tells whether the file is there", async () => {
      const there = await server.get(at("main.js"), { method: "HEAD" })
      const missing = await server.get(at("missing.js"), { method: "HEAD" })

      expect([there.status, missing.status]).toEqual([200, 404])
    })

    test("A-60: what is not there is an error, never a page in its place", async () => {
      for (const path of ["missing", "missing/index.html", "missing/", "sub/missing.js"])
        expect((await ask(path)).response.status).toBe(404)
    })

    test("A-59, A-62: a query changes nothing, and every file is served directly", async () => {
      for (const path of ["main.js?x=1", "main.js?", "sub/index.html?tkn=a%2Fb"]) {
        const { response } = await ask(path)
        expect([path, response.status, response.headers.get("location")]).toEqual([path, 200, null])
      }
    })

    test("A-61: by digest, what may be kept is kept for a year", async () => {
      const response = await server.get(`/${upstream.host}/ide/code@${code.manifest.digest}/__files__/index.html`)

      expect([response.status, response.headers.get("cache-control")]).toEqual([
        200,
        expect.stringContaining("max-age=31536000"),
      ])
    })

    test("the first layer is served where nothing else is said", async () => {
      upstream.add("ide/whole", "1", code)

      expect(await server.text(`/${upstream.host}/ide/whole:1/layer.txt`)).toBe("first")
    })

    test("listed origins may read, others may not", async () => {
      const listed = await ask("main.js", { origin: "https://ide.example" })
      const other = await ask("main.js", { origin: "https://evil.example" })
      const preflight = await server.get(at("main.js"), {
        method: "OPTIONS",
        headers: { origin: "https://ide.example" },
      })

      expect(listed.response.headers.get("access-control-allow-origin")).toBe("https://ide.example")
      expect(other.response.headers.get("access-control-allow-origin")).toBeNull()
      expect(other.response.headers.get("vary")).toBe("Origin")
      expect([preflight.status, preflight.headers.get("access-control-allow-methods")]).toEqual([
        204,
        "GET, HEAD, OPTIONS",
      ])
    })

    test("the metrics have the original's names", async () => {
      const text = await createMetrics().registry.metrics()

      for (const name of [
        "http_server_requests_total",
        "http_server_requests_duration_seconds",
        "http_client_requests_total",
        "http_client_requests_duration_seconds",
      ])
        expect(text).toContain(`# HELP ${name} `)
    })
  })

  describe("images that come and go", () => {
    const servers = stoppedAfterEach()

    async function start(blobserve: object = {}) {
      const registry = startUpstream()
      const files = await startFiles({
        mode,
        blobserve: { repos: { [`${registry.host}/lab/x`]: {} }, ...blobserve },
      })
      servers.push(registry, files)
      return { registry, files, path: `/${registry.host}/lab/x:1/a` }
    }

    /** While the upstream lacks a digest the answer names it and is not kept; then the file is there. */
    async function expectNamedThenFound({ registry, files, path }: Awaited<ReturnType<typeof start>>, digest: string) {
      let isMissing = true
      registry.roles.push((_, url) =>
        isMissing && url.pathname.endsWith(digest) ? new Response("{}", { status: 404 }) : null,
      )

      const failed = await files.get(path)
      expect([failed.status >= 400, failed.headers.get("cache-control")]).toEqual([true, "no-store"])
      expect(await failed.text()).toContain(digest)
      isMissing = false
      await until(async () => (await files.text(path)) === "here")
    }

    test("A-42: what was not there is not found, and found once it is", async () => {
      const { registry, files, path } = await start()

      expect((await files.get(path)).status).toBe(404)
      registry.add("lab/x", "1", await image({ layers: [await layer({ a: "a" })] }))
      expect(await files.text(path)).toBe("a")
    })

    test("A-45: an image without layers has no files", async () => {
      const { registry, files, path } = await start()
      registry.add("lab/x", "1", await image({ layers: [] }))

      expect((await files.get(path)).status).toBe(404)
    })

    test("A-43: a manifest that is missing is named, and found when it comes", async () => {
      const started = await start()
      const made = await image({
        layers: [await layer({ a: "here" })],
        architecture: process.arch === "arm64" ? "arm64" : "amd64",
      })
      started.registry.add("lab/x", "1", index([[made, platform(process.arch === "arm64" ? "arm64" : "amd64")]]))

      await expectNamedThenFound(started, made.manifest.digest)
    })

    test("A-44, A-47: a layer that is missing at the first attempt is named, and found at a later one", async () => {
      const started = await start()
      const made = await image({ layers: [await layer({ a: "here" })] })
      started.registry.add("lab/x", "1", made)

      await expectNamedThenFound(started, made.layers[0]?.digest ?? "")
    })

    test("A-41: what was served is served again when the registry has lost everything", async () => {
      const { registry, files, path } = await start()
      const made = await image({ layers: [await layer({ a: "a" })] })
      registry.add("lab/x", "1", made)
      await until(async () => (await files.get(path)).headers.get("cache-control") === "public, max-age=60")
      const asked = registry.seen.length
      registry.roles.push(() => new Response("{}", { status: 404 }))

      const again = await files.get(path)
      expect([again.status, await again.text(), again.headers.get("x-layer-digest")]).toEqual([
        200,
        "a",
        made.layers[0]?.digest ?? null,
      ])
      expect(registry.seen.length).toBe(asked)
    })

    test("A-46: of two layers the first is served, and the second never fetched", async () => {
      const { registry, files, path } = await start()
      const made = await image({ layers: [await layer({ a: "first" }), await layer({ a: "second" })] })
      registry.add("lab/x", "1", made)
      const second = made.layers[1]?.digest ?? ""
      registry.roles.push((_, url) => (url.pathname.endsWith(second) ? new Response("{}", { status: 404 }) : null))

      expect(await files.text(path)).toBe("first")
      expect(registry.seen.filter(({ path: seen }) => seen.endsWith(second))).toEqual([])
    })

    // From another process: a client takes its own process's connections to the registry for itself
    if (mode === "binary")
      test("A-48: a thousand at once are served from one download", async () => {
        const { registry, files, path } = await start()
        const made = await image({ layers: [await layer({ a: "a".repeat(5000) })] })
        registry.add("lab/x", "1", made)

        const texts = await Promise.all(Array.from({ length: 1000 }, () => files.text(path)))

        expect(new Set(texts)).toEqual(new Set(["a".repeat(5000)]))
        const gets = registry.seen.filter(({ method }) => method === "GET").map(({ path: seen }) => seen)
        expect(gets.length).toBe(new Set(gets).size)
      })

    test.each([
      ["A-51", {}],
      ["A-52", { "x-blobserve-readonly": "true" }],
    ])("%s: what was deleted under us is read again", async (_, headers) => {
      const { registry, files, path } = await start()
      const big = `/${path.slice(1, -1)}big`
      registry.add("lab/x", "1", await image({ layers: [await layer({ a: "a", big: "big ".repeat(50_000) })] }))
      await until(async () => (await files.get(big)).headers.get("cache-control") !== "no-store")
      await until(() => existsSync(join(files.dir, "space/v1/facts/scanned"))) // all of it is on the disk
      const blobs = join(files.dir, "space/v1/blobs")
      for (const name of readdirSync(blobs, { recursive: true, encoding: "utf8" }))
        if (statSync(join(blobs, name)).isFile()) rmSync(join(blobs, name))

      expect(await files.text(big, { headers })).toBe("big ".repeat(50_000))
      expect(await files.text(path, { headers })).toBe("a")
    })

    test("A-53, D-17: a layer that is cut off at first is read at once when it is whole", async () => {
      const { registry, files, path } = await start()
      const made = await image({ layers: [await layer({ a: "whole" })] })
      const { bytes = new Uint8Array(0), digest = "" } = made.layers[0] ?? {}
      registry.add("lab/x", "1", made)
      let isCut = true
      registry.roles.push((request, url) =>
        isCut && request.method === "GET" && url.pathname.endsWith(digest) ? new Response(bytes.slice(0, 40)) : null,
      )

      expect((await files.get(path)).status).toBeGreaterThanOrEqual(500)
      isCut = false
      await until(async () => (await files.text(path)) === "whole")
    })

    test("A-63: the first answer may be that it takes longer, the next is the file", async () => {
      const { registry, files, path } = await start({ timeout: "200ms" })
      const gate = Promise.withResolvers<void>()
      registry.add("lab/x", "1", await image({ layers: [await layer({ a: "a" })] }))
      registry.roles.push(async () => {
        await gate.promise
        return null
      })

      const first = await files.get(path)
      expect([first.status, await first.text()]).toEqual([503, "timeout"])
      gate.resolve()
      await until(async () => (await files.text(path)) === "a")
    })

    test("A-49, A-50: read-only asks are answered from what is here, and fetch nothing", async () => {
      const { registry, files, path } = await start()
      registry.add("lab/x", "1", await image({ layers: [await layer({ a: "a" })] }))
      const readOnly = { headers: { "x-blobserve-readonly": "true" } }

      expect((await files.get(path, readOnly)).status).toBe(404)
      expect(registry.seen).toEqual([])
      expect(await files.text(path)).toBe("a")
      expect(await files.text(path, readOnly)).toBe("a")
    })

    test("what is to be pulled before is, and readiness waits for it", async () => {
      const registry = startUpstream()
      const made = await image({ layers: [await layer({ a: "low" }), await layer({ b: "high" })] })
      const gate = Promise.withResolvers<void>()
      registry.add("lab/x", "1", made)
      registry.roles.push(async () => {
        await gate.promise
        return null
      })
      const repos = { [`${registry.host}/lab/x`]: { prePull: ["1", made.manifest.digest], layers: "all" } }
      const probe = 20_000 + Math.floor(Math.random() * 10_000)
      const files = await startFiles({
        mode,
        blobserve: { repos },
        config: { readinessProbeAddr: `127.0.0.1:${probe}` },
      })
      servers.push(registry, files)
      const isReady = async () => (await fetch(`http://127.0.0.1:${probe}/ready`)).status === 200

      expect(await isReady()).toBe(false)
      gate.resolve()
      await until(isReady)
      const before = registry.seen.length
      expect(await files.text(`/${registry.host}/lab/x:1/a`)).toBe("low")
      expect(registry.seen.length).toBe(before)
    })

    test("a manifest of another repository is not shown, though it is here", async () => {
      const registry = startUpstream()
      const secret = await image({ layers: [await layer({ a: "secret" })] })
      registry.add("lab/secret", "1", secret)
      const repos = { [`${registry.host}/lab/secret`]: {}, [`${registry.host}/lab/x`]: {} }
      const files = await startFiles({ mode, blobserve: { repos } })
      servers.push(registry, files)

      expect(await files.text(`/${registry.host}/lab/secret:1/a`)).toBe("secret")
      expect(await files.text(`/${registry.host}/lab/secret@${secret.manifest.digest}/a`)).toBe("secret")
      expect((await files.get(`/${registry.host}/lab/x@${secret.manifest.digest}/a`)).status).toBe(404)
    })

    test("any repository can be served, in a sandbox, but none of our own network", async () => {
      const registry = startUpstream()
      registry.add("lab/x", "1", await image({ layers: [await layer({ a: "a" })] }))
      const files = await startFiles({ mode, blobserve: { allowAnyRepo: true } })
      servers.push(registry, files)

      expect((await files.get(`/${registry.host}/lab/x:1/a`)).status).toBe(403)
      expect(registry.seen).toEqual([])
    })
  })

  describe("composed images", () => {
    test("are served by the name that the registry has for them", async () => {
      const registry = startUpstream()
      registry.add("lab/base", "1", await image({ layers: [await layer({ "etc/base": "base", "etc/motd": "old" })] }))
      const dir = tempDir()
      const spec = { baseRef: `${registry.host}/lab/base:1`, layers: [{ files: { "/etc/motd": "new" } }] }
      await Bun.write(`${dir}/specs.json`, JSON.stringify({ app: spec }))
      const config = { registry: { port: 0, host: "127.0.0.1", store: "store", fixedSpecFN: "specs.json" } }
      const files = await startFiles({
        mode,
        dir,
        config,
        blobserve: { repos: { "fixed/app": { layers: "all" } }, blobSpace: {} },
      })
      try {
        expect(await files.text("/fixed/app:latest/etc/motd")).toBe("new")
        expect(await files.text("/fixed/app:latest/etc/base")).toBe("base")
        const manifest = await fetch(`${files.registry}/v2/fixed/app/manifests/latest`)
        const digest = manifest.headers.get("docker-content-digest")
        expect(await files.text(`/fixed/app@${digest}/etc/motd`)).toBe("new")
        expect((await files.get("/fixed/other:latest/etc/motd")).status).toBe(403)
      } finally {
        await files.stop()
        registry.stop()
      }
    })
  })
})
