import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test"
import { type FileServer, startFiles } from "../helpers/files.ts"
import { image, layer, sha256, type TestImage } from "../helpers/images.ts"
import { until } from "../helpers/until.ts"
import { startUpstream, type UpstreamServer } from "../helpers/upstream-server.ts"

/** What the original's callers and its own tests rely on, told in requests. */
const VARS = JSON.stringify({ ide: "https://ide.example/a__files__/x", supervisor: "/_supervisor/y" })
const INLINE = { "x-blobserve-inlinevars": VARS }

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
        "layer.txt": "first",
      }),
      await layer({ "layer.txt": "second" }),
    ],
  })
  upstream.add("ide/code", "commit-1", code)
  server = await startFiles({
    blobserve: {
      repos: {
        [`${upstream.host}/ide/code`]: {
          workdir: "/ide",
          replacements: [
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
  test("change the text that they name, and only that", async () => {
    expect((await ask("main.js")).text).toBe("1 baz\n2 baz\n3")
  })

  test("reach across lines", async () => {
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

  test("are put in where the header and the rules are there", async () => {
    for (const path of ["", "index.html"]) {
      const { response, text } = await ask(path, INLINE)

      expect(text).toBe(page)
      expect(response.headers.get("cache-control")).toMatch(/^no-/)
      expect(response.headers.get("etag")).toBe(`"${sha256(page)}"`)
      expect(response.headers.get("vary")).toContain("X-BlobServe-InlineVars")
    }
  })

  test("change nothing without the header, and caches know of it", async () => {
    const { response, text } = await ask("index.html")

    expect(text).toBe("aaa\nbbb\n{{A}} {{B}}\n")
    expect(response.headers.get("vary")).toContain("X-BlobServe-InlineVars")
  })

  test("change nothing where there are no rules", async () => {
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
  test("both forms of a path give the same, also with the prefix that ide-proxy strips", async () => {
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

  test("what is not there is an error, never a page in its place", async () => {
    for (const path of ["missing", "missing/index.html", "missing/", "sub/missing.js"])
      expect((await ask(path)).response.status).toBe(404)
  })

  test("the first layer is served where nothing else is said", async () => {
    upstream.add("ide/whole", "1", code)

    expect(await server.text(`/${upstream.host}/ide/whole:1/layer.txt`)).toBe("first")
  })

  test("listed origins may read, others may not", async () => {
    const listed = await ask("main.js", { origin: "https://ide.example" })
    const other = await ask("main.js", { origin: "https://evil.example" })
    const preflight = await server.get(at("main.js"), { method: "OPTIONS", headers: { origin: "https://ide.example" } })

    expect(listed.response.headers.get("access-control-allow-origin")).toBe("https://ide.example")
    expect(other.response.headers.get("access-control-allow-origin")).toBeNull()
    expect(other.response.headers.get("vary")).toBe("Origin")
    expect([preflight.status, preflight.headers.get("access-control-allow-methods")]).toEqual([
      204,
      "GET, HEAD, OPTIONS",
    ])
  })

  test("the metrics have the original's names", async () => {
    const { createMetrics } = await import("../../src/telemetry/metrics.ts")
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
  const servers: { stop(): unknown }[] = []

  afterEach(async () => {
    for (const one of servers.splice(0).reverse()) await one.stop()
  })

  async function start(repo: object = {}, config: object = {}) {
    const registry = startUpstream()
    const files = await startFiles({
      blobserve: { repos: { [`${registry.host}/lab/x`]: repo } },
      config: { ...config },
    })
    servers.push(registry, files)
    return { registry, files, path: `/${registry.host}/lab/x:1/a` }
  }

  test("what was not there is found once it is", async () => {
    const { registry, files, path } = await start()

    expect((await files.get(path)).status).toBe(404)
    registry.add("lab/x", "1", await image({ layers: [await layer({ a: "a" })] }))
    expect(await files.text(path)).toBe("a")
  })

  test("an image without layers has no files", async () => {
    const { registry, files, path } = await start()
    registry.add("lab/x", "1", await image({ layers: [] }))

    expect((await files.get(path)).status).toBe(404)
  })

  test.each(["manifest", "layer"])(
    "a %s that is missing is told, and found when it comes",
    async (what) => {
      const { registry, files, path } = await start()
      const made = await image({ layers: [await layer({ a: what })] })
      registry.add("lab/x", "1", made)
      let isMissing = true
      const missing = what === "layer" ? made.layers[0]?.digest : "/manifests/1"
      registry.roles.push((_, url) =>
        isMissing && url.pathname.endsWith(missing ?? "") ? new Response("{}", { status: 404 }) : null,
      )

      const failed = await files.get(path)
      expect(failed.status).toBeGreaterThanOrEqual(400)
      expect(failed.headers.get("cache-control")).toBe("no-store")
      isMissing = false
      await until(async () => (await files.text(path)) === what)
    },
    20_000,
  )

  test("read-only asks are answered from what is here, and fetch nothing", async () => {
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
    const files = await startFiles({ blobserve: { repos }, config: { readinessProbeAddr: `127.0.0.1:${probe}` } })
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
    const files = await startFiles({ blobserve: { repos } })
    servers.push(registry, files)

    expect(await files.text(`/${registry.host}/lab/secret:1/a`)).toBe("secret")
    expect(await files.text(`/${registry.host}/lab/secret@${secret.manifest.digest}/a`)).toBe("secret")
    expect((await files.get(`/${registry.host}/lab/x@${secret.manifest.digest}/a`)).status).toBe(404)
  })

  test("any repository can be served, in a sandbox, but none of our own network", async () => {
    const registry = startUpstream()
    registry.add("lab/x", "1", await image({ layers: [await layer({ a: "a" })] }))
    const files = await startFiles({ blobserve: { allowAnyRepo: true } })
    servers.push(registry, files)

    expect((await files.get(`/${registry.host}/lab/x:1/a`)).status).toBe(403)
    expect(registry.seen).toEqual([])
  })
})

describe("composed images", () => {
  test("are served by the name that the registry has for them", async () => {
    const registry = startUpstream()
    registry.add("lab/base", "1", await image({ layers: [await layer({ "etc/base": "base", "etc/motd": "old" })] }))
    const { tempDir } = await import("../helpers/temp-dir.ts")
    const dir = tempDir()
    const spec = { baseRef: `${registry.host}/lab/base:1`, layers: [{ files: { "/etc/motd": "new" } }] }
    await Bun.write(`${dir}/specs.json`, JSON.stringify({ app: spec }))
    const config = { registry: { port: 0, host: "127.0.0.1", store: "store", fixedSpecFN: "specs.json" } }
    const files = await startFiles({
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
