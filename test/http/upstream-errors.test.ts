import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import type { Mode } from "../helpers/facade.ts"
import { image, OCI_MANIFEST, opaqueLayer, type TestImage } from "../helpers/images.ts"
import { errorsOf, type PullServer, startPullServer } from "../helpers/pull-server.ts"
import type { RawAnswer } from "../helpers/raw-http.ts"
import { contentResponse, startUpstream, type UpstreamServer } from "../helpers/upstream-server.ts"
import { upstreamLogin } from "../helpers/users.ts"

/** In everything that an upstream must not make us repeat. */
const CANARY = "canary-4f1d"
const SCHEMA_ONE = "application/vnd.docker.distribution.manifest.v1+prettyjws"

const plain = (status: number, headers: Readonly<Record<string, string>> = {}) =>
  new Response(`{"errors":[{"code":"DENIED","message":"${CANARY}"}]}`, {
    status,
    headers: { "x-secret": CANARY, "set-cookie": `session=${CANARY}`, ...headers },
  })
const document = (value: unknown, contentType = OCI_MANIFEST) =>
  new Response(JSON.stringify(value), { headers: { "content-type": contentType } })

interface Case {
  readonly answer: (url: URL) => Response
  readonly status: number
  readonly code: string
  /** What the message holds besides the reference and the host. */
  readonly says: string
  readonly detail?: string
  /** Seconds that the client is asked to wait. */
  readonly retryAfter?: number
  /** Requests that the upstream sees. */
  readonly requests?: number
  /** Answered by a host of its own: how to log in is learnt for a host, and one that asks to be left alone is. */
  readonly apart?: "login" | "busy"
}

const denied = { status: 403, code: "DENIED", detail: "upstream_auth" } as const
const unavailable = { status: 503, code: "UNAVAILABLE", retryAfter: 1 } as const
const unusable = { status: 502, code: "MANIFEST_INVALID" } as const

/** By the repository, whose manifest is answered so. */
const MANIFESTS: Readonly<Record<string, Case>> = {
  missing: { answer: () => plain(404), status: 404, code: "MANIFEST_UNKNOWN", says: "404", requests: 1 },
  forbidden: { answer: () => plain(403), ...denied, says: "403", requests: 1 },
  silent401: { answer: () => plain(401), ...denied, says: "log in", requests: 1 },
  basic401: {
    answer: () => plain(401, { "www-authenticate": `Basic realm="${CANARY}"` }),
    ...denied,
    says: "does not accept the user and password",
    requests: 2,
  },
  token401: {
    answer: ({ origin }) =>
      plain(401, { "www-authenticate": `Bearer realm="${origin}/token?secret=${CANARY}",service="s"` }),
    ...denied,
    says: "token server",
    apart: "login",
  },
  limited: {
    answer: () => plain(429, { "retry-after": "0" }),
    status: 429,
    code: "TOOMANYREQUESTS",
    says: "429",
    retryAfter: 1,
    requests: 4,
  },
  limitedForLong: {
    answer: () => plain(429, { "retry-after": "3600" }),
    status: 429,
    code: "TOOMANYREQUESTS",
    says: "429",
    retryAfter: 3600,
    requests: 1,
    apart: "busy",
  },
  broken: { answer: () => plain(500, { "retry-after": "0" }), ...unavailable, says: "500", requests: 4 },
  gateway: { answer: () => plain(502, { "retry-after": "0" }), ...unavailable, says: "502", requests: 4 },
  overloaded: { answer: () => plain(503, { "retry-after": "0" }), ...unavailable, says: "503", requests: 4 },
  overloadedForLong: {
    answer: () => plain(503, { "retry-after": "600" }),
    ...unavailable,
    says: "503",
    retryAfter: 600,
    requests: 1,
    apart: "busy",
  },
  teapot: { answer: () => plain(418), status: 502, code: "UNKNOWN", says: "418", requests: 1 },
  webpage: {
    answer: () => new Response(`<html>${CANARY}</html>`, { headers: { "content-type": "text/html" } }),
    ...unusable,
    says: "web page",
  },
  garbage: { answer: () => new Response(`not JSON ${CANARY}`), ...unusable, says: "no manifest" },
  emptyObject: { answer: () => document({}, "application/json"), ...unusable, says: "no config" },
  list: { answer: () => document([CANARY]), ...unusable, says: "no manifest" },
  both: { answer: () => document({ schemaVersion: 2, manifests: [], layers: [] }), ...unusable, says: "no manifest" },
  huge: { answer: () => document({ schemaVersion: 2, x: "x".repeat(5_000_000) }), ...unusable, says: "larger than" },
  schemaOne: {
    answer: () => document({ schemaVersion: 1, fsLayers: [], history: [], signatures: [] }, SCHEMA_ONE),
    status: 404,
    code: "MANIFEST_UNKNOWN",
    says: "schema 1",
    requests: 1,
  },
  otherDigest: {
    answer: () =>
      new Response("{}", {
        headers: { "content-type": OCI_MANIFEST, "docker-content-digest": `sha256:${"0".repeat(64)}` },
      }),
    status: 502,
    code: "UNAVAILABLE",
    says: "other bytes",
    detail: "upstream_integrity",
  },
}

/** By the repository, whose one layer is answered so. */
const BLOBS: Readonly<Record<string, Case>> = {
  "blob-missing": {
    answer: () => plain(404),
    status: 404,
    code: "BLOB_UNKNOWN",
    says: "does not have it",
    requests: 1,
  },
  "blob-forbidden": { answer: () => plain(403), ...denied, says: "403", requests: 1 },
  "blob-401": { answer: () => plain(401), ...denied, says: "log in", requests: 1 },
  "blob-limited": {
    answer: () => plain(429, { "retry-after": "0" }),
    status: 429,
    code: "TOOMANYREQUESTS",
    says: "429",
    retryAfter: 1,
  },
  "blob-broken": { answer: () => plain(500, { "retry-after": "0" }), ...unavailable, says: "500" },
  "blob-webpage": {
    answer: () => new Response(`<html>${CANARY}</html>`, { headers: { "content-type": "text/html" } }),
    status: 503,
    code: "UNAVAILABLE",
    says: "bytes instead of",
    retryAfter: 1,
  },
}

describe.each(["source", "binary"] as Mode[])("upstream failures from %s", (mode) => {
  let server: PullServer
  let apart: Readonly<Record<"login" | "busy", UpstreamServer>>
  const answers = new Map<string, Promise<RawAnswer>>()

  beforeAll(async () => {
    const images = await blobImages()
    apart = { login: startUpstream(), busy: startUpstream() }
    for (const { roles } of Object.values(apart)) roles.push((request, url) => misbehave(request, url))
    const names = [...Object.keys(MANIFESTS), "flaky"]
    const base = (name: string, host: string) => `${hostOf(name, host)}/lab/${repositoryOf(name)}:1`
    server = await startPullServer({
      mode,
      images,
      specs: (host) => ({
        ...Object.fromEntries(names.map((name) => [repositoryOf(name), { baseRef: base(name, host) }])),
        refused: { baseRef: "127.0.0.1:1/lab/refused:1" },
      }),
      upstreams: (host) => ({ [host]: upstreamLogin("user", `${CANARY}-password`) }),
    })
    server.upstream.roles.push((request, url) => misbehave(request, url))
    const { raw } = server
    for (const name of Object.keys(MANIFESTS)) {
      answers.set(name, raw("GET", `/v2/fixed/${repositoryOf(name)}/manifests/latest`))
    }
    for (const [name, { layers }] of Object.entries(images)) {
      answers.set(name, raw("GET", `/v2/fixed/${name}/blobs/${layers[0]?.digest}`))
    }
    answers.set("refused", raw("GET", "/v2/fixed/refused/manifests/latest"))
  })
  afterAll(async () => {
    await server.stop()
    for (const upstream of Object.values(apart)) upstream.stop()
  })

  const serverOf = (name: string): UpstreamServer => apart[MANIFESTS[name]?.apart ?? "login"]
  const hostOf = (name: string, host: string) => (MANIFESTS[name]?.apart === undefined ? host : serverOf(name).host)

  async function expectCase(name: string, { status, code, says, detail, retryAfter, requests }: Case) {
    const answer = await answers.get(name)
    if (answer === undefined) throw new Error(`No request was sent for ${name}`)
    const [error] = errorsOf(answer)
    expect([answer.status, error?.code, error?.detail]).toEqual([status, code, detail])
    expect(error?.message).toContain(says)
    expect(error?.message).toContain(`${hostOf(name, server.upstream.host)}/lab/${repositoryOf(name)}`)
    if (retryAfter !== undefined) expect(Number(answer.header("retry-after"))).toBeGreaterThanOrEqual(retryAfter)
    else expect(answer.header("retry-after") ?? "1").toMatch(/^[1-9]\d*$/)
    expect(answer.header("www-authenticate")).toBeNull()
    expect(answer.header("set-cookie")).toBeNull()
    const kind = name in BLOBS ? "blobs/sha256" : "manifests"
    const { seen } = MANIFESTS[name]?.apart === undefined ? server.upstream : serverOf(name)
    const asked = seen.filter(({ path }) => path.startsWith(`/v2/lab/${repositoryOf(name)}/${kind}`))
    const own = name in BLOBS ? asked.filter(({ path }) => isLayer(path)) : asked
    if (requests !== undefined) expect(own.length).toBe(requests)
  }

  test.each(Object.entries(MANIFESTS))("[1.4] D-6: a base whose manifest is %s", async (name, expected) => {
    await expectCase(name, expected)
  })

  test.each(Object.entries(BLOBS))("[1.4] D-6: a layer that is %s", async (name, expected) => {
    await expectCase(name, expected)
  })

  test("[1.4] a host that cannot be reached is 503, and named", async () => {
    const answer = await answers.get("refused")
    if (answer === undefined) throw new Error("No request was sent")

    expect([answer.status, errorsOf(answer)[0]?.code]).toEqual([503, "UNAVAILABLE"])
    expect(errorsOf(answer)[0]?.message).toContain("127.0.0.1:1/lab/refused:1")
    expect(errorsOf(answer)[0]?.message).toContain("cannot be reached")
    expect(Number(answer.header("retry-after"))).toBeGreaterThan(0)
  })

  test("[1.4] a failure that passes is not seen by clients", async () => {
    expect((await server.raw("GET", "/v2/fixed/flaky/manifests/latest")).status).toBe(200)
    expect(server.asked("/lab/flaky/manifests/")).toBe(3)
  })

  test("[1.4] HEAD of a failing base has the status of GET and no body", async () => {
    for (const name of ["missing", "forbidden", "webpage", "limited-for-long"]) {
      const get = await server.raw("GET", `/v2/fixed/${name}/manifests/latest`)
      const head = await server.raw("HEAD", `/v2/fixed/${name}/manifests/latest`)
      expect([name, head.status, head.body.byteLength]).toEqual([name, get.status, 0])
    }
  })

  test("[1.4] nothing that an upstream said, and no password, is in an answer or in the log", async () => {
    for (const [name, promise] of answers) {
      const answer = await promise
      expect([name, JSON.stringify(answer.headers).includes(CANARY)]).toEqual([name, false])
      expect([name, answer.body.toString().includes(CANARY)]).toEqual([name, false])
    }
    expect(JSON.stringify(server.facade.logs)).not.toContain(CANARY)
    expect(JSON.stringify(server.facade.logs)).not.toContain(Buffer.from(`user:${CANARY}-password`).toString("base64"))
  })
})

const repositoryOf = (name: string): string => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
const layers = new Set<string>()
const isLayer = (path: string): boolean => layers.has(path.slice(path.lastIndexOf("/") + 1))

async function blobImages(): Promise<Record<string, TestImage>> {
  const made: Record<string, TestImage> = {}
  for (const [seed, name] of Object.keys(BLOBS).entries()) {
    const layer = opaqueLayer(5000, 40 + seed)
    layers.add(layer.digest)
    made[name] = await image({ layers: [layer] })
  }
  return made
}

let flakes = 0
const flaky = image()

async function misbehave(request: Request, url: URL): Promise<Response | null> {
  const [, repository = "", kind = "", reference = ""] =
    /^\/v2\/lab\/([^/]+)\/(manifests|blobs)\/(.+)$/.exec(url.pathname) ?? []
  const name = Object.keys(MANIFESTS).find((one) => repositoryOf(one) === repository)
  if (url.pathname === "/token") return plain(401)
  if (name !== undefined) return MANIFESTS[name]?.answer(url) ?? null
  if (kind === "blobs" && layers.has(reference)) return BLOBS[repository]?.answer(url) ?? null
  if (repository !== "flaky") return null
  const { manifest, config } = await flaky
  if (kind === "blobs") return contentResponse(request, config)
  flakes += 1
  return flakes % 3 === 0 ? contentResponse(request, manifest) : plain(503, { "retry-after": "0" })
}
