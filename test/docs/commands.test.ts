import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { readdirSync } from "node:fs"
import { dirname, join } from "node:path"
import { createAuthority } from "../helpers/certificates.ts"
import { crawl } from "../helpers/crawl.ts"
import { BINARY, type RunningFacade, startFacade } from "../helpers/facade.ts"
import { type KuboServer, startKuboServer } from "../helpers/kubo-server.ts"
import { commandsUnder, fencesOf, ROOT, readPage } from "../helpers/markdown.ts"
import { needs, output, startServer } from "../helpers/programs.ts"
import { tempDir } from "../helpers/temp-dir.ts"

setDefaultTimeout(30_000)

/** Every block of commands in the documentation: the file that runs it, or why that cannot be. */
const BLOCKS: Readonly<Record<string, string>> = {
  "README.md: registry-facade": "readme.test.ts, and the second command is this run",
  "README.md: Five minutes with a real registry": "readme.test.ts",
  "CONTRIBUTING.md: Set up": "contributing.test.ts",
  "CONTRIBUTING.md: Check and test": "contributing.test.ts, and .ci/run",
  "docs/benchmarks.md: How to repeat it": "test/bench",
  "docs/configuration.md: Configuration": "here",
  "docs/install.md: The program": ".ci/run",
  "docs/install.md: Under systemd": "install.test.ts",
  "docs/install.md: In a container":
    "`docker build` needs registries elsewhere; test/deploy/image.test.ts runs the image",
  "docs/install.md: On Kubernetes": "install.test.ts, and kubernetes.test.ts",
  "docs/ipfs.md: The Kubo node": "ipfs.test.ts",
  "docs/ipfs.md: Looking after it": "here",
  "docs/running.md: Starting and stopping": "here",
  "docs/running.md: Setting up a node": "here",
  "docs/running.md: The store": "here",
  "docs/tls-and-auth.md: Users and passwords": "here",
}

test("every block of commands in the documentation is run by a test that is known here", () => {
  const pages = ["README.md", "CONTRIBUTING.md", ...readdirSync(join(ROOT, "docs")).map((name) => `docs/${name}`)]
  const found = pages
    .filter((name) => name.endsWith(".md"))
    .flatMap((name) =>
      fencesOf(readPage(name))
        .filter(({ language }) => ["sh", "bash", "console"].includes(language))
        .map(({ heading }) => `${name}: ${heading}`),
    )

  expect([...new Set(found)].sort()).toEqual(Object.keys(BLOCKS).sort())
})

const commandsOf = (page: string, heading: string): string => commandsUnder(readPage(page), heading)[0] ?? ""

const bash = needs("bash")
const runIn = async (cwd: string, script: string) =>
  await output(["bash", "-euc", script], { cwd, env: { PATH: `${dirname(BINARY)}:${process.env["PATH"]}` } })

describe.skipIf(bash.isMissing)(`commands of the program${bash.note}`, () => {
  let facade: RunningFacade
  let kubo: KuboServer
  let digest: string
  beforeAll(async () => {
    kubo = startKuboServer()
    facade = await startFacade({
      mode: "binary",
      specs: { hello: { baseRef: "scratch", layers: [{ files: { "/etc/motd": "hello" } }] } },
      registry: { ipfs: kubo.config },
    })
    const { manifests } = await crawl(facade, "hello")
    digest = manifests[0]?.layers[0]?.digest ?? ""
  })
  afterAll(async () => {
    await facade?.stop()
    kubo?.stop()
  })

  test("run, as docs/running.md shows it", async () => {
    const command = commandsOf("docs/running.md", "Starting and stopping")
      .replace("registry-facade", BINARY)
      .replace("config.json", join(facade.dir, "config.json"))
    const { match, stop } = await startServer(["bash", "-euc", `exec ${command.trim()}`], /"message":"([^"]*running)"/)
    await stop()

    expect(match[1]).toContain("registry facade is up and running")
  })

  test("those for a store, as docs/running.md shows them", async () => {
    const printed = await runIn(facade.dir, commandsOf("docs/running.md", "The store"))

    expect(printed).toContain('"blobs": ')
    expect(printed).toContain("removed 0 blobs, 0 bytes; ")
    expect(printed).toContain(" blobs checked, 0 were wrong")
  })

  test("those for IPFS, as docs/ipfs.md shows them", async () => {
    const script = commandsOf("docs/ipfs.md", "Looking after it").replaceAll("sha256:...", digest)
    const printed = await runIn(facade.dir, script)

    expect(printed).toContain('"isPublic": false')
    expect(printed).toContain("blobs put back into the index")
    expect(printed).toContain(`${digest}: added\n${digest}: removed\n`)
  })

  test("those for a configuration, as docs/configuration.md shows them", async () => {
    const printed = await runIn(facade.dir, commandsOf("docs/configuration.md", "Configuration"))

    expect(printed).toContain("config.json is valid")
    expect(await Bun.file(join(facade.dir, "registry-facade.schema.json")).json()).toHaveProperty("properties.registry")
  })

  const openssl = needs("openssl")
  test.skipIf(openssl.isMissing)(`setup, as docs/running.md shows it${openssl.note}`, async () => {
    const [dir, host] = [tempDir(), tempDir()]
    await createAuthority("Test CA", dir)
    const [set = "", check = "", uninstall = ""] = commandsOf("docs/running.md", "Setting up a node")
      .replaceAll("--hostfs /", `--hostfs ${host}`)
      .split("\n")
    const hosts = join(host, "etc/containerd/certs.d/reg.example.com:31750/hosts.toml")
    const isThere = async () => await Bun.file(hosts).exists()

    await runIn(dir, set)
    expect(await isThere()).toBe(true)
    await runIn(dir, check)
    await runIn(dir, uninstall)
    expect(await isThere()).toBe(false)
    await expect(runIn(dir, check)).rejects.toThrow("failed with 1")
  })
})

const htpasswd = needs("bash", "htpasswd")
test.skipIf(htpasswd.isMissing)(
  `the commands of docs/tls-and-auth.md keep a file of users${htpasswd.note}`,
  async () => {
    const dir = tempDir()
    // A password is typed there; here it comes through a pipe
    const script = commandsOf("docs/tls-and-auth.md", "Users and passwords").replaceAll(
      /^htpasswd -(c?)B/gm,
      "echo secret | htpasswd -$1Bi",
    )
    await runIn(dir, script)

    expect(await Bun.file(join(dir, "users")).text()).toMatch(/^ann:\$2y\$10\$[\w./]{53}\n+$/)
  },
)
