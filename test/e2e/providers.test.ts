import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { createAuthority } from "../helpers/certificates.ts"
import { CONTAINERDS } from "../helpers/containerd-process.ts"
import { type Cri, startCri } from "../helpers/cri.ts"
import { type RunningFacade, startFacade } from "../helpers/facade.ts"
import { image, layer } from "../helpers/images.ts"
import { needs } from "../helpers/programs.ts"
import { SPEC_SERVER, type SpecServer, startSpecServer } from "../helpers/spec-server.ts"
import { type SpecWeb, startSpecWeb } from "../helpers/spec-web.ts"
import { tempDir } from "../helpers/temp-dir.ts"
import { until } from "../helpers/until.ts"
import { startUpstream, type UpstreamServer } from "../helpers/upstream-server.ts"

setDefaultTimeout(30_000)

const requirement = needs(SPEC_SERVER, "openssl")
/** As node-labeler asks. */
const LABELER = { accept: "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json" }
const PROBE = "/v2/remote/not-a-valid-image/manifests/latest"

let upstream: UpstreamServer
beforeAll(async () => {
  upstream = startUpstream()
  upstream.add("lab/base", "1", await image({ layers: [await layer({ base: "base" })] }))
})
afterAll(() => upstream.stop())

/** Specs of others reach only hosts that an operator has named. */
const named = () => ({ upstreams: { [upstream.host]: {} } })
const manifest = (facade: RunningFacade, id: string) =>
  facade.get(`/v2/remote/${id}/manifests/latest`, { headers: LABELER })
const message = async (response: Response) => JSON.parse(await response.text()).errors[0]

describe.skipIf(requirement.isMissing)(`remote/<id>, with a gRPC server of mTLS${requirement.note}`, () => {
  let server: SpecServer
  let facade: RunningFacade
  let flags: readonly string[]
  beforeAll(async () => {
    const dir = tempDir()
    const authority = await createAuthority("specs", dir)
    const { crt, key } = await authority.issueAt(join(dir, "server"), ["ws-manager"])
    flags = ["-crt", crt, "-key", key, "-ca", authority.path, "-maxtls", "1.2"]
    const spec = { baseRef: `${upstream.host}/lab/base:1`, contentLayer: [{ direct: { content: "" } }] }
    server = await startSpecServer({ answers: { "f00-1": { spec } }, flags })
    const tls = { ca: authority.path, ...(await authority.issueAt(join(dir, "client"), ["client"])) }
    // Spelled as the original's installer writes it
    const remoteSpecProvider = [{ addr: `dns:///${server.addr}`, tls }]
    facade = await startFacade({ mode: "binary", registry: { ...named(), remoteSpecProvider } })
  })
  afterAll(async () => {
    await facade.stop()
    await server.stop()
  })

  test("an instance's image is served under its name without a tag", async () => {
    server.answer({ "f00-1": { spec: { baseRef: `${upstream.host}/lab/base:1` } } })
    const answer = await manifest(facade, "f00-1")
    expect(answer.status).toBe(200)
    const { annotations } = (await answer.json()) as { annotations: Record<string, string> }
    expect(annotations["io.gitpod.workspace-image.ref"]).toBe(`${upstream.host}/lab/base:1`)
    expect(facade.logs).toContainEqual(
      expect.objectContaining({
        message: "provider remote will handle request for f00-1",
        severity: "INFO",
        instanceId: "f00-1",
      }),
    )
  })

  describe.each(CONTAINERDS)("to a kubelet's $daemon", (programs) => {
    const criNeeds = needs(programs.daemon, "root")
    let cri: Cri
    beforeAll(async () => {
      if (!criNeeds.isMissing) cri = await startCri(programs)
    })
    afterAll(async () => await cri?.stop())

    test.skipIf(criNeeds.isMissing)(`C-3: it is pulled without a tag${criNeeds.note}`, async () => {
      server.answer({ "f00-3": { spec: { baseRef: `${upstream.host}/lab/base:1` } } })
      const { config } = (await (await manifest(facade, "f00-3")).json()) as { config: { digest: string } }

      expect(await cri.pull(`${facade.host}/remote/f00-3`)).toBe(config.digest)
    })

    test.skipIf(criNeeds.isMissing)(`C-1: an unknown name is told at once${criNeeds.note}`, async () => {
      const startedAt = performance.now()
      const error = await cri.pull(`${facade.host}/remote/not-a-valid-image`).catch(String)
      const took = performance.now() - startedAt

      expect(error).toContain("not found")
      expect(took).toBeLessThan(1000)
    })
  })

  test("C-1: the name that watchers probe is 404 within a second, and no error in the log", async () => {
    const startedAt = performance.now()
    const answer = await facade.get(PROBE, { headers: LABELER })
    const took = performance.now() - startedAt

    expect([answer.status, (await message(answer)).code]).toEqual([404, "MANIFEST_UNKNOWN"])
    expect(took).toBeLessThan(1000)
    await until(() => facade.logs.some(({ message }) => message === "this was node-labeler, we expected no spec"))
    const told = facade.logs.filter(({ name }) => name === "not-a-valid-image")
    expect(new Set(told.map(({ severity }) => severity))).toEqual(new Set(["INFO"]))
  })

  test("a server that is restarted is found again", async () => {
    const { addr } = server
    await server.stop()
    expect((await manifest(facade, "f00-2")).status).toBe(503)
    server = await startSpecServer({
      addr,
      flags,
      answers: { "f00-2": { spec: { baseRef: `${upstream.host}/lab/base:1` } } },
    })
    await until(async () => (await manifest(facade, "f00-2")).status === 200)
  })

  test("C-14: a client certificate that is renewed under us is used, one that is half written is not", async () => {
    const dir = tempDir()
    const [authority, wrong] = [await createAuthority("specs", dir), await createAuthority("wrong")]
    const own = await authority.issueAt(join(dir, "server"), ["ws-manager"])
    const answers = { "f00-4": { spec: { baseRef: `${upstream.host}/lab/base:1` } } }
    const secured = await startSpecServer({ answers, flags: ["-crt", own.crt, "-key", own.key, "-ca", authority.path] })
    const { crt, key } = await wrong.issueAt(join(dir, "client"), ["client"])
    const remoteSpecProvider = [{ addr: `dns:///${secured.addr}`, tls: { ca: authority.path, crt, key } }]
    const renewed = await startFacade({ mode: "binary", registry: { ...named(), remoteSpecProvider } })
    try {
      expect((await manifest(renewed, "f00-4")).status).toBe(503)
      await authority.issueAt(join(dir, "client"), ["client"])
      await until(async () => (await manifest(renewed, "f00-4")).status === 200)

      writeFileSync(crt, "-----BEGIN CERT")
      secured.answer({ "f00-5": answers["f00-4"] })
      await until(async () => (await manifest(renewed, "f00-5")).status === 200)
    } finally {
      await renewed.stop()
      await secured.stop()
    }
  })

  test("C-2: a server that cannot be reached is 503, never 404, and the process stays", async () => {
    server.signal("SIGKILL")
    await until(async () => (await facade.get(PROBE, { headers: LABELER })).status === 503)
    const error = await message(await facade.get(PROBE, { headers: LABELER }))
    expect(error).toMatchObject({ code: "UNAVAILABLE", detail: "provider_unreachable" })
    expect((await facade.get("/v2/")).status).toBe(200)
    await until(() =>
      facade.logs.some(({ message, condition }) => message === "condition failed" && condition === "spec providers"),
    )
    const told = () =>
      facade.logs.find(({ message, name }) => message === "cannot get spec" && name === "not-a-valid-image")
    await until(() => told() !== undefined)
    expect(told()).toMatchObject({ severity: "ERROR", specProvName: "remote" })
  })
})

describe("remote/<id>, with a web server", () => {
  let web: SpecWeb
  let facade: RunningFacade
  beforeAll(async () => {
    web = startSpecWeb()
    facade = await startFacade({ mode: "binary", registry: { ...named(), remoteSpecProvider: { url: web.url } } })
  })
  afterAll(async () => {
    await facade.stop()
    web.stop()
  })
  const ask = async (id: string, spec: object) => {
    web.answer(() => Response.json(spec))
    return await manifest(facade, id)
  }

  test("an image is served", async () => {
    const spec = { baseRef: `${upstream.host}/lab/base:1`, layers: [{ files: { "/etc/motd": "hello" } }] }
    const { layers } = (await (await ask("web", spec)).json()) as { layers: unknown[] }
    expect(layers).toHaveLength(2)
  })

  test.each([
    ["a file", { layers: [{ file: "/etc/shadow" }] }],
    ["a directory", { layers: [{ dir: "/etc" }] }],
    ["a layout", { layers: [{ image: "oci:/srv" }] }],
  ])("its specs name nothing of this machine: %s", async (id, rest) => {
    const answer = await ask(id.replace("a ", ""), { baseRef: `${upstream.host}/lab/base:1`, ...rest })
    expect(answer.status).toBe(400)
    expect((await message(answer)).message).toContain("a spec from a remote provider cannot use files of this machine")
  })

  test.each([
    ["169.254.169.254/lab/base:1", 403],
    ["127.0.0.1:1/lab/base:1", 403],
    ["localhost/lab/base:1", 403],
  ])("its specs reach no host that is not in public, such as %s", async (baseRef, status) => {
    const answer = await ask(`inside-${baseRef.replace(/\W/g, "-")}`, { baseRef })
    expect([answer.status, (await message(answer)).code]).toEqual([status, "DENIED"])
  })

  test("a name that it does not know is 404", async () => {
    web.answer(() => new Response("", { status: 404 }))
    expect((await manifest(facade, "nope")).status).toBe(404)
  })
})
