import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { join } from "node:path"
import { type Authority, createAuthority } from "../helpers/certificates.ts"
import { type Containerd, startContainerd } from "../helpers/containerd.ts"
import { CONTAINERDS } from "../helpers/containerd-process.ts"
import { type RunningFacade, startFacade } from "../helpers/facade.ts"
import { needs } from "../helpers/programs.ts"
import { runBinary } from "../helpers/run-binary.ts"
import { tempDir } from "../helpers/temp-dir.ts"

setDefaultTimeout(60_000)

const SPECS = { hello: { baseRef: "scratch", layers: [{ files: { "/etc/motd": "hello" } }] } }

describe.each(CONTAINERDS)("$daemon on a machine that was set up", (programs) => {
  const required = needs("root", programs.daemon, programs.ctr, "openssl")
  const host = tempDir()
  const hostsDir = join(host, "etc/containerd/certs.d")
  let containerd: Containerd
  let facade: RunningFacade
  let authority: Authority
  let port: string
  beforeAll(async () => {
    if (required.isMissing) return
    authority = await createAuthority()
    facade = await startFacade({ mode: "binary", specs: SPECS, registry: { tls: await authority.issue("facade") } })
    port = facade.host.split(":")[1] ?? ""
    containerd = await startContainerd(programs)
  })
  afterAll(async () => {
    await containerd?.stop()
    await facade?.stop()
  })

  const setup = async (...args: readonly string[]) =>
    await runBinary(["setup", "--hostname", "localhost", "--hostfs", host, "--port", port, ...args])
  const pull = async () => await containerd.pullWith(["--hosts-dir", hostsDir], `localhost:${port}/fixed/hello:latest`)

  test.skipIf(required.isMissing)(`C-12 pulls by the hosts.toml that setup has written${required.note}`, async () => {
    await setup()
    const untrusted = await pull()
    await setup("--ca", authority.path)
    const trusted = await pull()

    expect(untrusted.stderr).toContain("x509")
    expect(trusted).toMatchObject({ code: 0 })
    expect(await containerd.images()).toContain(`localhost:${port}/fixed/hello:latest`)
  })
})
