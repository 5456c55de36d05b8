import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { type FileServer, startFiles } from "../helpers/files.ts"
import { image, layer, sha256, type TestImage } from "../helpers/images.ts"
import { rawLayer, symlink } from "../helpers/tar-entries.ts"
import { until } from "../helpers/until.ts"
import { startUpstream, type UpstreamServer } from "../helpers/upstream-server.ts"

setDefaultTimeout(30_000)

/** What the installer of the original writes for its three repositories. */
const SUPERVISOR = { search: "/_supervisor/frontend", replacement: "$" + "{supervisor}" }
const NLS = "$" + "{ide}/out/nls.messages.js"
const CODE = {
  workdir: "/ide",
  inlineStatic: [
    { search: "{{WORKBENCH_WEB_BASE_URL}}", replacement: "$" + "{ide}" },
    { search: "{{WORKBENCH_NLS_FALLBACK_URL}}", replacement: NLS },
    { search: "{{WORKBENCH_NLS_URL}}", replacement: NLS },
    SUPERVISOR,
  ],
}
const PAGE =
  '<base href="{{WORKBENCH_WEB_BASE_URL}}"><script src="{{WORKBENCH_NLS_URL}}"></script><link href="/_supervisor/frontend/a.css">'

describe("in place of the original's blobserve, with the configuration of its installer", () => {
  let upstream: UpstreamServer
  let server: FileServer
  let code: TestImage
  let ref: (name: string, path: string) => string

  beforeAll(async () => {
    upstream = startUpstream()
    code = await image({
      layers: [
        await layer({ "ide/index.html": PAGE, "ide/out/main.js": "for browsers", "ide/favicon.ico": "icon" }),
        await layer({ "ide/index.html": "of the server", "ide/out/main.js": "for node", "ide/bin/code": "server" }),
        await layer({ "ide/out/nls.messages.js": "texts" }),
      ],
    })
    upstream.add("gitpod/ide/code", "commit-1", code)
    upstream.add(
      "gitpod/supervisor",
      "commit-1",
      await image({ layers: [await layer({ ".supervisor/frontend/main.js": "supervisor" })] }),
    )
    upstream.add(
      "gitpod/ide/xterm",
      "commit-1",
      await image({ layers: [await layer({ "ide/xterm/index.html": "<script src=/_supervisor/frontend/main.js>" })] }),
    )
    const repository = (name: string) => `${upstream.host}/gitpod/${name}`
    ref = (name, path) => `/${repository(name)}:commit-1/${path}`
    server = await startFiles({
      mode: "binary",
      blobserve: {
        timeout: "5s",
        repos: {
          [repository("ide/code")]: { prePull: [], ...CODE },
          [repository("supervisor")]: { prePull: [], workdir: "/.supervisor/frontend" },
          [repository("ide/xterm")]: { prePull: [], workdir: "/ide/xterm", inlineStatic: [SUPERVISOR] },
        },
        blobSpace: { location: "space", maxSizeBytes: 1_073_741_824 },
      },
      config: { prometheusAddr: "127.0.0.1:0", pprofAddr: "127.0.0.1:0", readinessProbeAddr: "127.0.0.1:0" },
    })
  })
  afterAll(async () => {
    await server.stop()
    upstream.stop()
  })

  test("C-15: what is served of the code image is its first layer, whatever the second writes over it", async () => {
    expect(await server.text(ref("ide/code", "out/main.js"))).toBe("for browsers")
    expect(await server.text(ref("ide/code", "index.html"))).toBe(PAGE)
    for (const path of ["bin/code", "out/nls.messages.js"])
      expect([path, (await server.get(ref("ide/code", path))).status]).toEqual([path, 404])
    const asked = new Set(upstream.seen.map(({ path }) => path.split("/").at(-1)))
    expect(code.layers.map(({ digest }) => asked.has(digest))).toEqual([true, false, false])
  })

  test("C-15: the three repositories are served from their directories, and no other is", async () => {
    expect(await server.text(ref("supervisor", "main.js"))).toBe("supervisor")
    expect(await server.text(ref("ide/xterm", ""))).toContain("/_supervisor/frontend/main.js")
    expect((await server.get(ref("other", "main.js"))).status).toBe(403)
  })

  test("A-57, A-58, C-15: warmed up by HEAD as ws-proxy does, the page has the variables that it sends", async () => {
    expect((await server.get(ref("supervisor", "main.js"), { method: "HEAD" })).status).toBe(200)
    const vars = {
      ide: "https://ide.example/blobserve/code/__files__",
      supervisor: "https://ide.example/blobserve/sup/__files__",
    }
    const page = await server.text(ref("ide/code", ""), { headers: { "x-blobserve-inlinevars": JSON.stringify(vars) } })

    expect(page).toBe(
      `<base href="${vars.ide}"><script src="${vars.ide}/out/nls.messages.js"></script><link href="${vars.supervisor}/a.css">`,
    )
  })

  test("D-20, A-42: an image that is missing is 404, and the answer tells nothing of our insides", async () => {
    const answer = await server.get(`/${upstream.host}/gitpod/ide/code:none/index.html`)
    const text = await answer.text()

    expect([answer.status, answer.headers.get("cache-control")]).toEqual([404, "no-store"])
    expect(text).toContain("gitpod/ide/code:none")
    expect(text).not.toMatch(/Error|\bat \/|stack|internal|\/space|node_modules/)
  })

  test("D-19, L3: what a client has is 304; errors are kept by nobody, tags for a minute, digests for ever", async () => {
    const path = (version: string, file = "favicon.ico") => `/${upstream.host}/gitpod/ide/code${version}/${file}`
    await until(async () => (await server.get(path(":commit-1"))).headers.get("cache-control") !== "no-store")
    const etag = `"${sha256("icon")}"`

    const known = await server.get(path(":commit-1"), { headers: { "if-none-match": etag } })
    expect([known.status, known.headers.get("etag")]).toEqual([304, etag])
    for (const [version, file, expected] of [
      [":commit-1", "favicon.ico", "public, max-age=60"],
      [`@${code.manifest.digest}`, "favicon.ico", "public, max-age=31536000, immutable"],
      [":commit-1", "none", "no-store"],
      [`@${code.manifest.digest}`, "none", "no-store"],
      [":none", "favicon.ico", "no-store"],
    ] as const)
      expect([version, file, (await server.get(path(version, file))).headers.get("cache-control")]).toEqual([
        version,
        file,
        expected,
      ])
  })
})

describe("a page of an image, from the binary", () => {
  let upstream: UpstreamServer
  let server: FileServer
  beforeAll(async () => {
    upstream = startUpstream()
    const top = rawLayer([
      { name: "index.html", content: "<p>TITLE" },
      { name: "data.bin", content: "<html><script>alert(1)</script>" },
      { name: "dir/index.html", content: "below" },
      { name: "javascript:alert(1)/index.html", content: "named like a script" },
      { name: "\\evil.example/index.html", content: "named like a host" },
      symlink("out", "//evil.example"),
    ])
    for (const name of ["listed", "any"]) upstream.add(`lab/${name}`, "1", await image({ layers: [top] }))
    server = await startFiles({
      mode: "binary",
      config: { registry: { port: 0, host: "127.0.0.1", store: "store", upstreams: { [upstream.host]: {} } } },
      blobserve: {
        allowAnyRepo: true,
        repos: {
          [`${upstream.host}/lab/listed`]: {
            inlineStatic: [{ search: "TITLE", replacement: "$" + "{title}" }],
            replacements: [{ path: "/data.bin", search: "alert(1)", replacement: "" }],
          },
        },
      },
    })
  })
  afterAll(async () => {
    await server.stop()
    upstream.stop()
  })
  const at = (path: string, name = "listed") => `/${upstream.host}/lab/${name}:1/${path}`

  test.each([
    '{"title":"<script>alert(1)</script>"}',
    '{"title":"\\"onload=alert(1) x=\\""}',
    '{"title":"\\u003cimg src=x onerror=alert(1)\\u003e"}',
    '{"title":"`-alert(1)-`"}',
    '{"title":{"toString":"x"}}',
    '{"__proto__":{"title":"x"}}',
    "[]",
    "{",
  ])("L4: no variables make a script of it: %s", async (vars) => {
    const page = await server.text(at("index.html"), { headers: { "x-blobserve-inlinevars": vars } })

    expect(["<p>TITLE", "<p>$" + "{title}"]).toContain(page)
  })

  test("L5: its type is never guessed, and one of a repository that nobody has listed runs in a sandbox", async () => {
    const listed = await server.get(at("data.bin"))
    expect([listed.headers.get("content-type"), listed.headers.get("x-content-type-options")]).toEqual([
      "application/octet-stream",
      "nosniff",
    ])
    expect(listed.headers.get("content-security-policy")).toBeNull()
    const any = await server.get(at("index.html", "any"))
    expect([any.status, any.headers.get("content-security-policy"), any.headers.get("x-content-type-options")]).toEqual(
      [200, "sandbox", "nosniff"],
    )
  })

  test("L6: where text was replaced, lengths, tags and ranges are those of the result", async () => {
    const result = "<html><script></script>"
    const whole = await server.get(at("data.bin"))
    const part = await server.get(at("data.bin"), { headers: { range: "bytes=-9" } })
    const beyond = await server.get(at("data.bin"), { headers: { range: `bytes=${result.length}-` } })

    expect([await whole.text(), whole.headers.get("content-length"), whole.headers.get("etag")]).toEqual([
      result,
      String(result.length),
      `"${sha256(result)}"`,
    ])
    expect([part.status, await part.text(), part.headers.get("content-range")]).toEqual([
      206,
      "</script>",
      `bytes ${result.length - 9}-${result.length - 1}/${result.length}`,
    ])
    expect(beyond.status).toBe(416)
  })

  test("L7: nobody is sent anywhere but below the path that was asked for", async () => {
    for (const path of [
      "dir",
      "dir?x=//evil.example",
      "javascript:alert(1)",
      "%5Cevil.example",
      "dir%2f..%2f..",
      "out",
      "/evil.example/..",
      "//evil.example",
    ]) {
      const answer = await server.get(at(path))
      const location = answer.headers.get("location")
      if (location === null) expect([path, answer.status >= 400]).toEqual([path, true])
      else {
        const target = new URL(location, new URL(at(path), "http://files.example"))
        expect([path, location.startsWith("./"), target.host]).toEqual([path, true, "files.example"])
        expect(target.pathname).toStartWith(at(""))
      }
    }
    for (const path of [
      "//evil.example",
      "//evil.example/lab/listed:1/dir",
      "/\\evil.example/x:1/dir",
      `/%2f%2fevil.example/x:1/dir`,
    ]) {
      const answer = await server.get(path)
      expect([path, answer.headers.get("location")]).toEqual([path, null])
    }
  })
})
