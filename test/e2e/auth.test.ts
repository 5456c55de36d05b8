import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { type Authority, createAuthority, type Pair } from "../helpers/certificates.ts"
import { describeContainerd } from "../helpers/containerd.ts"
import { describeDocker } from "../helpers/docker.ts"
import { type RunningFacade, startFacade } from "../helpers/facade.ts"
import { skopeo } from "../helpers/lab.ts"
import { needs, output, run } from "../helpers/programs.ts"
import { tempDir } from "../helpers/temp-dir.ts"
import { until } from "../helpers/until.ts"

setDefaultTimeout(60_000)

const SPECS = {
  small: { baseRef: "scratch", layers: [1, 2, 3, 4, 5].map((layer) => ({ files: { [`/etc/${layer}`]: "hello" } })) },
}
const [USER, PASSWORD] = ["ann", "canary: pass word"]

const required = needs("openssl", "htpasswd", "skopeo", "curl")
describe.skipIf(required.isMissing)(`pulling with a password from the binary${required.note}`, () => {
  let authority: Authority
  let server: Pair
  let facade: RunningFacade
  let strict: RunningFacade
  let client: Pair
  const users = join(tempDir(), "users")

  beforeAll(async () => {
    authority = await createAuthority()
    server = await authority.issue("facade")
    client = await authority.issue("client")
    await output(["htpasswd", "-cbB", users, USER, PASSWORD])
    await output(["htpasswd", "-bBC", "10", users, "bob", "bob's"])
    const start = async (clientCA: Readonly<Record<string, string>>) => {
      const registry = { tls: { ...server, ...clientCA }, requireAuth: true, auth: { htpasswd: users } }
      return await startFacade({ mode: "binary", specs: SPECS, registry, clientTls: { ca: authority.pem } })
    }
    facade = await start({})
    strict = await start({ clientCA: authority.path })
  })
  afterAll(async () => {
    await Promise.all([facade?.stop(), strict?.stop()])
  })
  const image = ({ host }: RunningFacade) => `${host}/fixed/small:latest`

  /** A directory as skopeo and podman want it. */
  function certificates(shown: Pair | null): string {
    const dir = tempDir()
    copyFileSync(authority.path, join(dir, "ca.crt"))
    if (shown === null) return dir
    copyFileSync(shown.crt, join(dir, "client.cert"))
    copyFileSync(shown.key, join(dir, "client.key"))
    return dir
  }

  describe("with skopeo", () => {
    const copy = async (from: RunningFacade, shown: Pair | null, ...flags: readonly string[]) => {
      const certs = ["--src-cert-dir", certificates(shown)]
      return await run(skopeo("copy", ...certs, ...flags, `docker://${image(from)}`, `oci:${tempDir()}:1`))
    }

    test("takes a name and a password, and shows a client certificate besides", async () => {
      expect(await copy(facade, null, "--src-creds", `${USER}:${PASSWORD}`)).toMatchObject({ code: 0 })
      expect(await copy(strict, client, "--src-creds", `${USER}:${PASSWORD}`)).toMatchObject({ code: 0 })
    })

    test.each([
      ["a wrong password", ["--src-creds", "bob:wrong"]],
      ["none", []],
    ])("is told with %s that it has to log in", async (_, flags) => {
      const { code, stderr } = await copy(facade, null, ...flags)

      expect(code).not.toBe(0)
      expect(stderr).toMatch(/unauthorized|invalid username\/password/)
    })

    test("logs in as docker does, and pulls with what it has kept", async () => {
      const authfile = join(tempDir(), "auth.json")
      const kept = ["--authfile", authfile]
      const login = async (user: string, password: string) => {
        const flags = [...kept, "--cert-dir", certificates(null), "--username", user, "--password", password]
        return await run(skopeo("login", ...flags, facade.host))
      }

      expect((await login("bob", "wrong")).stderr).toContain("invalid username/password")
      expect(await login("bob", "bob's")).toMatchObject({ code: 0, stdout: "Login Succeeded!\n" })
      expect(await copy(facade, null, ...kept)).toMatchObject({ code: 0 })
    })
  })

  describeDocker("with docker", (run) => {
    const login = async (password: string) =>
      await run("docker", "login", "--username", "bob", "--password", password, facade.host)

    test("logs in, and pulls with what it has kept", async () => {
      expect(await run("docker", "pull", image(facade))).not.toMatchObject({ code: 0 })
      expect((await login("wrong")).stderr).toContain("401 Unauthorized")
      expect((await login("bob's")).stdout).toContain("Login Succeeded")
      expect(await run("docker", "pull", "--quiet", image(facade))).toMatchObject({ code: 0 })
    })
  })

  describeContainerd("with containerd", (containerd) => {
    const pull = async (from: RunningFacade, lines: readonly string[], ...flags: readonly string[]) => {
      const hosts = tempDir()
      const dir = join(hosts, "registry.example")
      mkdirSync(dir)
      const all = [`[host."${from.url}"]`, `ca = "${authority.path}"`, ...lines]
      writeFileSync(join(dir, "hosts.toml"), all.join("\n"))
      return await containerd().pullWith(["--hosts-dir", hosts, ...flags], "registry.example/fixed/small:latest")
    }

    test("sends the header that a hosts.toml names, and shows a client certificate", async () => {
      const header = (password: string) => {
        const encoded = Buffer.from(`${USER}:${password}`).toString("base64")
        return [`[host."${strict.url}".header]`, `Authorization = ["Basic ${encoded}"]`]
      }
      const certificate = `client = [["${client.crt}", "${client.key}"]]`

      expect(await pull(strict, [certificate, ...header(PASSWORD)])).toMatchObject({ code: 0 })
      expect((await pull(strict, [certificate, ...header("wrong")])).stderr).toContain("401 Unauthorized")
      expect((await pull(strict, header(PASSWORD))).code).not.toBe(0)
    })

    test("takes a user from ctr", async () => {
      expect(await pull(facade, [], "--user", "bob:bob's")).toMatchObject({ code: 0 })
      expect((await pull(facade, [], "--user", "bob:wrong")).code).not.toBe(0)
      expect((await pull(facade, [])).code).not.toBe(0)
    })
  })

  test("follows its file when htpasswd adds and removes users", async () => {
    const status = async () =>
      await output([
        "curl",
        "-so",
        "/dev/null",
        "-w",
        "%{http_code}",
        "--cacert",
        authority.path,
        "-u",
        "eve:eve's",
        `${facade.url}/v2/`,
      ])
    const before = await status()
    await output(["htpasswd", "-bB", users, "eve", "eve's"])
    const added = await status()
    await output(["htpasswd", "-D", users, "eve"])

    expect([before, added, await status()]).toEqual(["401", "200", "401"])
  })

  test("leaves no password, and nothing that holds one, in the log", async () => {
    await until(() => facade.logs.some(({ user }) => user === USER))
    const text = JSON.stringify([facade.logs, strict.logs])
    const secrets = [PASSWORD, "bob's", `${USER}:${PASSWORD}`, `bob:bob's`].flatMap((secret) => [
      secret,
      Buffer.from(secret).toString("base64").replace(/=+$/, ""),
    ])
    const hashes = readFileSync(users, "utf8")
      .split("\n")
      .flatMap((line) => line.split(":").slice(1))

    for (const secret of [...secrets, ...hashes]) expect(text).not.toContain(secret)
  })
})
