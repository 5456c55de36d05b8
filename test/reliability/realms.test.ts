import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test"
import { readFileSync, renameSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { createAuthority } from "../helpers/certificates.ts"
import { startFacade } from "../helpers/facade.ts"
import { image } from "../helpers/images.ts"
import { requireLogin } from "../helpers/login-server.ts"
import { needs } from "../helpers/programs.ts"
import { tempDir } from "../helpers/temp-dir.ts"
import { until } from "../helpers/until.ts"
import { startUpstream } from "../helpers/upstream-server.ts"
import { upstreamLogin } from "../helpers/users.ts"

setDefaultTimeout(30_000)

const ME = `Basic ${Buffer.from("me:s3cret").toString("base64")}`

const stops: (() => unknown)[] = []
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop()
})

const openssl = needs("openssl")
describe.skipIf(openssl.isMissing)(`a token server in another domain${openssl.note}`, () => {
  test("C2: gets the credential of the upstreams whose operator names it, as soon as that is written, and of no other", async () => {
    const authority = await createAuthority()
    const { crt, key } = await authority.issue("tokens")
    const asked: (string | null)[] = []
    const tokens = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      tls: { cert: Bun.file(crt), key: Bun.file(key) },
      fetch: (request) => {
        asked.push(request.headers.get("authorization"))
        return Response.json({ token: "given" })
      },
    })
    const realm = `localhost:${tokens.port}`
    const [mine, other] = [startUpstream(), startUpstream()]
    for (const upstream of [mine, other]) {
      upstream.add("lab/app", "1", await image())
      requireLogin(upstream, `Bearer realm="https://${realm}/token",service="lab"`, (sent) => sent === "Bearer given")
    }
    const dir = tempDir()
    const login = upstreamLogin("me", "s3cret")
    const upstreams = { [mine.host]: login, [other.host]: login, [realm]: { plainHTTP: false, ca: authority.path } }
    const specs = { mine: { baseRef: `${mine.host}/lab/app:1` }, other: { baseRef: `${other.host}/lab/app:1` } }
    const facade = await startFacade({ mode: "binary", dir, specs, registry: { upstreams } })
    stops.push(() => tokens.stop(true), mine.stop, other.stop, facade.stop)
    const pull = async (name: string) => await facade.get(`/v2/fixed/${name}/manifests/latest`)
    const refused = await pull("mine")
    const before = [...asked]
    const file = join(dir, "config.json")
    const config = JSON.parse(readFileSync(file, "utf8"))
    config.registry.upstreams[mine.host].realms = [realm]
    writeFileSync(`${file}.new`, JSON.stringify(config))
    renameSync(`${file}.new`, file)

    expect([refused.status, before]).toEqual([403, []])
    expect(await refused.text()).toContain('if it does, name it in \\"realms\\" of this upstream')
    await until(async () => (await pull("mine")).status === 200)
    expect((await pull("other")).status).toBe(403)
    expect(asked).toEqual([ME])
  })
})
