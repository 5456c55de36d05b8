import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { type Authority, createAuthority, type Pair } from "../helpers/certificates.ts"
import { describeContainerd } from "../helpers/containerd.ts"
import { type RunningFacade, startFacade } from "../helpers/facade.ts"
import { skopeo } from "../helpers/lab.ts"
import { needs, run } from "../helpers/programs.ts"
import { tempDir } from "../helpers/temp-dir.ts"

setDefaultTimeout(60_000)

const SPECS = { small: { baseRef: "scratch", layers: [{ files: { "/etc/motd": "hello" } }] } }

/** What clients are told to trust, and to show. */
interface Trust {
  readonly ca: string
  readonly client: Pair | null
}

const required = needs("openssl", "skopeo")
describe.skipIf(required.isMissing)(`pulling over TLS from the binary${required.note}`, () => {
  let authority: Authority
  let client: Pair
  let server: Pair
  let open: RunningFacade
  let strict: RunningFacade

  beforeAll(async () => {
    authority = await createAuthority()
    server = await authority.issue("facade")
    client = await authority.issue("client")
    const start = async (clientCA: Readonly<Record<string, string>>) =>
      await startFacade({ mode: "binary", specs: SPECS, registry: { tls: { ...server, ...clientCA } } })
    open = await start({})
    strict = await start({ clientCA: authority.path })
  })
  afterAll(async () => {
    await Promise.all([open?.stop(), strict?.stop()])
  })

  const image = ({ host }: RunningFacade) => `${host}/fixed/small:latest`
  const trusting = (shown: Pair | null): Trust => ({ ca: authority.path, client: shown })

  describe("with skopeo", () => {
    const copy = async (facade: RunningFacade, { ca, client: shown }: Trust) => {
      const dir = tempDir()
      copyFileSync(ca, join(dir, "ca.crt"))
      if (shown !== null) {
        copyFileSync(shown.crt, join(dir, "client.cert"))
        copyFileSync(shown.key, join(dir, "client.key"))
      }
      return await run(skopeo("copy", "--src-cert-dir", dir, `docker://${image(facade)}`, `oci:${tempDir()}:1`))
    }

    test("takes the certificate of a trusted authority, and no other", async () => {
      const stranger = await createAuthority("Stranger")

      expect(await copy(open, trusting(null))).toMatchObject({ code: 0 })
      expect((await copy(open, { ca: stranger.path, client: null })).stderr).toContain("x509")
    })

    test("shows a client certificate where one is asked for", async () => {
      expect(await copy(strict, trusting(client))).toMatchObject({ code: 0 })
      expect((await copy(strict, trusting(null))).code).not.toBe(0)
    })
  })

  describeContainerd("with containerd", (containerd) => {
    /** ctr speaks no TLS with the machine itself unless a hosts.toml says so. */
    const pull = async ({ url }: RunningFacade, shown: Pair | null) => {
      const hosts = tempDir()
      const lines = [
        `[host."${url}"]`,
        `ca = "${authority.path}"`,
        ...(shown === null ? [] : [`client = [["${shown.crt}", "${shown.key}"]]`]),
      ]
      mkdirSync(join(hosts, "registry.example"))
      writeFileSync(join(hosts, "registry.example", "hosts.toml"), lines.join("\n"))
      return await containerd().pullWith(["--hosts-dir", hosts], "registry.example/fixed/small:latest")
    }

    test("takes the certificate, and shows a client certificate", async () => {
      expect(await pull(open, null)).toMatchObject({ code: 0, stderr: "" })
      expect(await pull(strict, client)).toMatchObject({ code: 0, stderr: "" })
      expect((await pull(strict, null)).code).not.toBe(0)
    })
  })

  test("leaves no key in the log", () => {
    const secret = readFileSync(server.key, "utf8").split("\n")[1] ?? ""

    expect(secret.length).toBeGreaterThan(40)
    expect(JSON.stringify([open.logs, strict.logs])).not.toContain(secret)
  })
})
