import { afterEach, describe, expect, test } from "bun:test"
import { readdirSync, rmSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { loadConfig } from "../../src/config/load.ts"
import { findEntry, parseDockerConfig } from "../../src/credentials/docker-config.ts"
import { image, index, OCI_MANIFEST, opaqueLayer, platform, sha256, type TestImage } from "../helpers/images.ts"
import { requireLogin, startTokenServer, type TokenServer } from "../helpers/login-server.ts"
import { errorsOf, type PullServer, type PullServerOptions, startPullServer } from "../helpers/pull-server.ts"
import { tempDir } from "../helpers/temp-dir.ts"
import { until } from "../helpers/until.ts"
import { upstreamLogin } from "../helpers/users.ts"

// Advisories against registries and their pull-through caches, each as what must not be possible here

let server: PullServer
let tokens: TokenServer | null = null
afterEach(async () => {
  await server?.stop()
  tokens?.stop()
  tokens = null
})

const PASSWORD = "s3cret-password"
const IDENTITY = "s3cret-identity"

/** Two images that have nothing in common. */
async function start(options: Partial<PullServerOptions> = {}): Promise<Record<"a" | "b", TestImage>> {
  const a = await image({ layers: [opaqueLayer(30_000, 61)] })
  const b = await image({ layers: [opaqueLayer(30_000, 62)] })
  server = await startPullServer({ mode: "source", images: { a, b }, ...options })
  return { a, b }
}
const withPassword = { upstreams: (host: string) => ({ [host]: upstreamLogin("me", PASSWORD) }) }
/** A file of Docker's credentials, which are for an upstream that is started later. */
function withDockerAuth(authsOf: (host: string) => Readonly<Record<string, object>>) {
  const file = join(tempDir(), "auth.json")
  const specs = (host: string) => {
    writeFileSync(file, JSON.stringify({ auths: authsOf(host) }))
    return {}
  }
  return { file, options: { config: { dockerAuth: file }, specs } }
}
const status = async (path: string, method = "GET") => (await server.raw(method, path)).status
const blobPath = (name: string, digest = "") => `/v2/fixed/${name}/blobs/${digest}`
const storedFile = (digest: string): string | undefined =>
  readdirSync(join(server.facade.dir, "store"), { recursive: true, encoding: "utf8" })
    .map((path) => join(server.facade.dir, "store", path))
    .find((path) => path.endsWith(digest.slice(7)) && path.includes("/blobs/") && statSync(path).isFile())

describe("credentials", () => {
  test("CVE-2026-33540 (distribution): a realm elsewhere does not get the password of the registry", async () => {
    const thief = startTokenServer()
    tokens = thief
    await start(withPassword)
    const realm = thief.url.href.replace("127.0.0.1", "localhost")
    requireLogin(server.upstream, `Bearer realm="${realm}",service="x"`, () => false)

    expect(await status("/v2/fixed/a/manifests/latest")).toBe(403)
    expect(thief.asked.filter(({ authorization }) => authorization !== null)).toEqual([])
  })

  test("CVE-2026-48978 (oras-go): nor does it get an identity token", async () => {
    const thief = startTokenServer()
    tokens = thief
    await start(withDockerAuth((host) => ({ [host]: { identitytoken: IDENTITY } })).options)
    const realm = thief.url.href.replace("127.0.0.1", "localhost")
    requireLogin(server.upstream, `Bearer realm="${realm}",service="x"`, () => false)

    expect(await status("/v2/fixed/a/manifests/latest")).toBe(403)
    expect(thief.asked.filter(({ form }) => form !== null)).toEqual([])
  })

  test("artifact-keeper#3606: a token that a credential got serves no other credential", async () => {
    const issuer = startTokenServer()
    tokens = issuer
    const auth = Buffer.from(`me:${PASSWORD}`).toString("base64")
    const { file, options } = withDockerAuth((host) => ({ [`${host}/lab/a`]: { auth } }))
    await start({ ...options, registry: { tagTTL: "0s" } })
    requireLogin(server.upstream, `Bearer realm="${issuer.url}",service="x"`, (authorization) => {
      const asked = issuer.asked[issuer.tokens.indexOf(authorization.replace("Bearer ", ""))]
      return asked?.authorization === `Basic ${auth}`
    })

    expect(await status("/v2/fixed/a/manifests/latest")).toBe(200)
    expect(await status("/v2/fixed/b/manifests/latest")).toBe(403)
    writeFileSync(file, "{}")
    await server.eventually("/v2/fixed/a/manifests/latest", 403)
  })

  test("harbor#23681: who one is, is not decided by how a name begins", () => {
    const auth = Buffer.from("me:x").toString("base64")
    const file = parseDockerConfig(JSON.stringify({ auths: { "x.io/team": { auth }, "y.io": { auth } } }))

    for (const [host, path] of [
      ["x.io", "team-evil/app"],
      ["x.io", "teams"],
      ["y.io.evil.test", "a"],
      ["y.io:444", "a"],
      ["evil.y.io", "a"],
    ] as const)
      expect([host, path, findEntry(file, { host, path })]).toEqual([host, path, null])
  })

  test("CVE-2025-48374 (zot): no secret is in the log, whatever fails", async () => {
    await start(withPassword)
    requireLogin(server.upstream, 'Basic realm="x"', () => false)
    await status("/v2/fixed/a/manifests/latest")
    const logs = JSON.stringify(server.facade.logs)

    expect(server.facade.logs.length).toBeGreaterThan(0)
    expect(logs).not.toContain(PASSWORD)
    expect(logs).not.toContain(Buffer.from(`me:${PASSWORD}`).toString("base64"))
  })

  test("CVE-2026-4404 (Harbor): nobody has a password that nobody has set", async () => {
    const file = join(tempDir(), "config.json")
    writeFileSync(file, JSON.stringify({ registry: { requireAuth: true } }))
    await start()

    await expect(loadConfig(file)).rejects.toThrow('needs "auth"')
  })
})

describe("what may be read", () => {
  test("CVE-2024-39897 (zot): a blob that is here is not to be had under another name", async () => {
    const { a } = await start()
    const [layer] = a.layers
    if (layer === undefined) throw new Error("There is a layer")
    await server.warm("a", layer)

    for (const method of ["GET", "HEAD"]) expect(await status(blobPath("b", layer.digest), method)).toBe(404)
    expect(await status(blobPath("none", layer.digest))).toBe(404)
    expect(await status(blobPath("a", layer.digest))).toBe(200)
  })

  test("CVE-2022-31666 and others (Harbor): every object is judged by the name that it is asked under", async () => {
    const images = await start()
    const all = Object.entries(images)
    for (const [name, { layers, config }] of all) for (const blob of [...layers, config]) await server.warm(name, blob)
    for (const name of Object.keys(images))
      for (const [owner, { layers, config, manifest }] of all) {
        const expected = owner === name ? 200 : 404
        for (const { digest } of [...layers, config]) expect(await status(blobPath(name, digest))).toBe(expected)
        // The composed image has a manifest of its own
        expect(await status(`/v2/fixed/${name}/manifests/${manifest.digest}`)).toBe(404)
      }
  })

  test("CVE-2026-35172 (distribution): what was deleted does not come back because something remembers it", async () => {
    const { a } = await start()
    const [layer] = a.layers
    if (layer === undefined) throw new Error("There is a layer")
    await server.warm("a", layer)
    rmSync(storedFile(layer.digest) ?? "", { force: true })
    server.upstream.roles.push(() => new Response(null, { status: 404 }))

    await until(async () => (await status(blobPath("a", layer.digest))) === 404) // a transfer may be ending
    expect(await status(blobPath("b", layer.digest))).toBe(404)
  })

  test("distribution#1356, #2367, nativelink#2436: a file that is gone is fetched again, not served as nothing", async () => {
    const { a } = await start()
    const [layer] = a.layers
    if (layer === undefined) throw new Error("There is a layer")
    await server.warm("a", layer)
    rmSync(storedFile(layer.digest) ?? "", { force: true })
    const answer = await server.raw("GET", blobPath("a", layer.digest))

    expect([answer.status, sha256(new Uint8Array(answer.body))]).toEqual([200, layer.digest])
  })

  test("CVE-2025-23208 (zot): access that was taken away is taken away", async () => {
    await start({ registry: { tagTTL: "0s" } })
    expect(await status("/v2/fixed/a/manifests/latest")).toBe(200)
    server.upstream.roles.push(() => new Response(null, { status: 403 }))

    expect(await status("/v2/fixed/a/manifests/latest")).toBe(403)
  })

  test("CVE-2026-31801 (zot): no name of a tag can be written to", async () => {
    await start()
    for (const tag of ["latest", "new", sha256("x")])
      for (const method of ["PUT", "DELETE", "POST", "PATCH"])
        expect(await status(`/v2/fixed/a/manifests/${tag}`, method)).toBe(405)
    for (const method of ["POST", "PUT", "PATCH"]) expect(await status("/v2/fixed/a/blobs/uploads/", method)).toBe(405)
  })

  test("CVE-2020-13788 (Harbor): what a refused host would say is nobody's to learn", async () => {
    const details: (string | undefined)[] = []
    for (const location of ["http://169.254.169.254/", "http://169.254.169.254:22/", "http://[fe80::1]:9/"]) {
      await server?.stop()
      await start()
      server.upstream.roles.push(() => Response.redirect(location, 307))
      details.push(errorsOf(await server.raw("GET", "/v2/fixed/a/manifests/latest"))[0]?.detail)
    }
    expect(details).toEqual(["egress", "egress", "egress"])
  })
})

describe("documents", () => {
  test("CVE-2021-41190 (OCI specifications): what is an image and an index at once is neither", async () => {
    const { a } = await start({ registry: { tagTTL: "0s" } })
    const both = { ...JSON.parse(new TextDecoder().decode(a.manifest.bytes)), manifests: [] }
    server.upstream.roles.push((_, { pathname }) =>
      pathname.endsWith("/lab/a/manifests/1")
        ? new Response(JSON.stringify(both), { headers: { "content-type": OCI_MANIFEST } })
        : null,
    )

    expect(await status("/v2/fixed/a/manifests/latest")).toBe(502)
  })

  test("CVE-2023-2253 (distribution): a number that a client sends decides over no memory", async () => {
    await start()
    for (const path of [
      "/v2/_catalog?n=1000000000000",
      "/v2/fixed/a/tags/list?n=1000000000000",
      "/v2/fixed/a/tags/list?n=-1",
    ]) {
      const answer = await server.raw("GET", path)
      expect(answer.body.byteLength).toBeLessThan(1000)
      expect(answer.status).toBeLessThan(500)
    }
  })

  test("Trow, buildkit#2568: no size is one off", async () => {
    const sizes = [1, 2, 4095, 4096, 4097, 65_535, 65_536, 65_537]
    const layers = sizes.map((size) => opaqueLayer(size, 70))
    await start({ images: { a: await image({ layers }) } })
    for (const [place, { digest }] of layers.entries())
      for (const method of ["HEAD", "GET"]) {
        const answer = await server.raw(method, blobPath("a", digest))
        expect([sizes[place], answer.status, Number(answer.header("content-length"))]).toEqual([
          sizes[place],
          200,
          sizes[place] ?? 0,
        ])
        expect(answer.body.byteLength).toBe(method === "GET" ? (sizes[place] ?? 0) : 0)
      }
  })

  test("CVE-2024-3727 (containers/image): a digest that is none becomes no path and no request", async () => {
    const evil = "sha256:../../../../etc/passwd"
    const { a } = await start({ registry: { tagTTL: "0s" } })
    const { config, layers, ...rest } = JSON.parse(new TextDecoder().decode(a.manifest.bytes))
    for (const wrong of [
      { config: { ...config, digest: evil }, layers },
      { config, layers: [{ ...layers[0], digest: evil }] },
    ]) {
      server.upstream.roles.push((_, { pathname }) =>
        pathname.endsWith("/lab/a/manifests/1")
          ? new Response(JSON.stringify({ ...rest, ...wrong }), { headers: { "content-type": OCI_MANIFEST } })
          : null,
      )
      expect(await status("/v2/fixed/a/manifests/latest")).toBe(502)
    }
    for (const path of [evil, encodeURIComponent(evil), "sha256:..%2f..%2fetc%2fpasswd"])
      expect(await status(`/v2/fixed/a/blobs/${path}`)).toBeOneOf([400, 404])
    expect(server.upstream.seen.some(({ path }) => path.includes(".."))).toBe(false)
  })

  test("CVE-2020-1702 (containers/image): a manifest without end is not read to its end", async () => {
    await start({ registry: { tagTTL: "0s" } })
    let sent = 0
    server.upstream.roles.push(() => {
      const endless = new ReadableStream({
        pull: (controller) => {
          sent += 65_536
          controller.enqueue(new Uint8Array(65_536).fill(32))
        },
      })
      return new Response(endless, { headers: { "content-type": OCI_MANIFEST } })
    })

    expect(await status("/v2/fixed/a/manifests/latest")).toBe(502)
    expect(sent).toBeLessThan(100 * 1024 * 1024)
  })

  test.each([
    ["null", null],
    ["a number", 7],
    ["a text", "x"],
    ["layers that are null", { schemaVersion: 2, config: {}, layers: null }],
    ["layers that hold null", { schemaVersion: 2, config: {}, layers: [null] }],
    ["a config that is a list", { schemaVersion: 2, config: [], layers: [] }],
    ["a size below zero", { schemaVersion: 2, config: { mediaType: "x", digest: sha256("x"), size: -1 }, layers: [] }],
    [
      "a size beyond all",
      { schemaVersion: 2, config: { mediaType: "x", digest: sha256("x"), size: Number.MAX_VALUE }, layers: [] },
    ],
    ["manifests that hold null", { schemaVersion: 2, manifests: [null] }],
    ["a platform that is a text", { schemaVersion: 2, manifests: [{ platform: "x" }] }],
  ])("CVE-2021-21285 (moby): a manifest that is %s ends nothing", async (_, document) => {
    await start({ registry: { tagTTL: "0s" } })
    server.upstream.roles.push((_, { pathname }) =>
      pathname.includes("/lab/a/manifests/")
        ? Response.json(document, { headers: { "content-type": OCI_MANIFEST } })
        : null,
    )

    expect(await status("/v2/fixed/a/manifests/latest")).toBe(502)
    expect(await status("/v2/fixed/b/manifests/latest")).toBe(200)
  })

  test("CVE-2026-47262, CVE-2023-25153 (containerd): a config that is too large is not read", async () => {
    const { a } = await start({ registry: { tagTTL: "0s" } })
    const manifest = JSON.parse(new TextDecoder().decode(a.manifest.bytes))
    const large = { ...manifest, config: { ...manifest.config, size: 1024 * 1024 * 1024 } }
    server.upstream.roles.push((_, { pathname }) =>
      pathname.endsWith("/lab/a/manifests/1")
        ? Response.json(large, { headers: { "content-type": OCI_MANIFEST } })
        : null,
    )
    const answer = await server.raw("GET", "/v2/fixed/a/manifests/latest")

    expect([answer.status, errorsOf(answer)[0]?.message]).toEqual([
      502,
      expect.stringContaining("its config is larger than"),
    ])
    expect(server.asked(`/blobs/${a.config.digest}`)).toBe(0)
  })

  test("CVE-2024-24557 (moby): two wishes that differ in anything are two images", async () => {
    const of = (host: string) => ({ baseRef: `${host}/lab/a:1` })
    await start({
      specs: (host) => ({
        plain: of(host),
        env: { ...of(host), config: { env: { set: { A: "1" } } } },
        env2: { ...of(host), config: { env: { set: { A: "2" } } } },
        user: { ...of(host), config: { user: "1" } },
        label: { ...of(host), config: { labels: { a: "1" } } },
        note: { ...of(host), annotations: { a: "1" } },
      }),
    })
    const names = ["plain", "env", "env2", "user", "label", "note"]
    const digests = await Promise.all(
      names.map(async (name) =>
        (await server.raw("HEAD", `/v2/fixed/${name}/manifests/latest`)).header("docker-content-digest"),
      ),
    )

    expect(new Set(digests).size).toBe(names.length)
  })

  test("an index whose entries lead in a circle ends", async () => {
    await start({ registry: { tagTTL: "0s" } })
    const inner = await image()
    const nested = index([[inner, platform("amd64")]])
    const itself = JSON.parse(new TextDecoder().decode(nested.index.bytes))
    itself.manifests = Array.from({ length: 5 }, () => ({
      ...itself.manifests[0],
      mediaType: nested.index.mediaType,
      digest: nested.index.digest,
    }))
    server.upstream.roles.push((_, { pathname }) =>
      pathname.includes("/lab/a/manifests/")
        ? Response.json(itself, { headers: { "content-type": nested.index.mediaType } })
        : null,
    )

    expect(await status("/v2/fixed/a/manifests/latest")).toBeOneOf([404, 502, 503])
  })

  test("CVE-2024-25621 (containerd): nobody else on the machine can read what is stored", async () => {
    const { a } = await start()
    const [layer] = a.layers
    if (layer === undefined) throw new Error("There is a layer")
    await server.warm("a", layer)
    const root = join(server.facade.dir, "store", "v1")
    const found = readdirSync(root, { recursive: true, encoding: "utf8" }).map((name) => join(root, name))

    for (const path of [root, ...found]) expect([path, statSync(path).mode & 0o077]).toEqual([path, 0])
  })
})
