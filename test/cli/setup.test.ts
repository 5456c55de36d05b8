import { beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test"
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs"
import { dirname, join } from "node:path"
import { createAuthority } from "../helpers/certificates.ts"
import { needs, output } from "../helpers/programs.ts"
import { runBinary } from "../helpers/run-binary.ts"
import { tempDir } from "../helpers/temp-dir.ts"

setDefaultTimeout(30_000)

const DIRECTORY = "etc/containerd/certs.d/reg.x:5000"
const HOST_LINE = "127.0.0.1 reg.x # registry-facade\n"

let host: string
beforeEach(() => {
  host = tempDir()
})
const setup = async (...args: readonly string[]) =>
  await runBinary(["setup", "--hostname", "reg.x", "--hostfs", host, "--port", "5000", ...args])
const read = (path: string) => readFileSync(join(host, path), "utf8")
const put = (path: string, text: string) => {
  mkdirSync(dirname(join(host, path)), { recursive: true })
  writeFileSync(join(host, path), text)
}
const mode = (path: string) => (statSync(join(host, path)).mode & 0o7777).toString(8)
const tree = () => (readdirSync(host, { recursive: true }) as string[]).toSorted()

describe("setup", () => {
  test("C-12 writes everything into an empty directory, and nothing the second time", async () => {
    const first = await setup()
    const files = tree()
    const second = await setup()

    expect([first.code, second.code, second.out]).toEqual([0, 0, "nothing to do\n"])
    expect(read(`${DIRECTORY}/hosts.toml`)).toContain(
      'server = "https://reg.x:5000"\n\n[host."https://reg.x:5000"]\n  capabilities = ["pull", "resolve"]\n',
    )
    expect(read("etc/hosts")).toBe(HOST_LINE)
    expect(tree()).toEqual(files)
    expect([mode(DIRECTORY), mode("etc/containerd"), mode(`${DIRECTORY}/hosts.toml`), mode("etc/hosts")]).toEqual([
      "755",
      "755",
      "644",
      "644",
    ])
  })

  test("C-12 corrects what is out of date, and keeps what is not its own", async () => {
    put("etc/hosts", "127.0.0.1 localhost\n10.1.2.3 reg.x old # x\n")
    chmodSync(join(host, "etc/hosts"), 0o640)
    put(`${DIRECTORY}/hosts.toml`, 'server = "https://old"\n')
    chmodSync(join(host, DIRECTORY), 0o644)
    put("etc/containerd/certs.d/docker.io/hosts.toml", "theirs")

    const { code, out } = await setup()

    expect([code, out.split("\n").slice(0, -1)]).toEqual([
      0,
      [`write /${DIRECTORY}/hosts.toml`, `set the mode of /${DIRECTORY} to 755`, "write /etc/hosts"],
    ])
    expect(read("etc/hosts")).toBe(`127.0.0.1 localhost\n10.1.2.3 old # x\n${HOST_LINE}`)
    expect([mode("etc/hosts"), mode(DIRECTORY)]).toEqual(["640", "755"])
    expect(read("etc/containerd/certs.d/docker.io/hosts.toml")).toBe("theirs")
  })

  const openssl = needs("openssl")
  test.skipIf(openssl.isMissing)(
    `brings an authority, and takes a new one after it was rotated${openssl.note}`,
    async () => {
      const [{ path: old }, { path: next }] = [await createAuthority(), await createAuthority()]
      await setup("--ca", old)
      expect(read(`${DIRECTORY}/hosts.toml`)).toContain('ca = "ca.crt"')
      expect(read(`${DIRECTORY}/ca.crt`)).toBe(readFileSync(old, "utf8"))

      expect((await setup("--ca", next, "--check")).code).toBe(1)
      await setup("--ca", next)

      expect(read(`${DIRECTORY}/ca.crt`)).toBe(readFileSync(next, "utf8"))
      await setup()
      expect(tree()).not.toContain(`${DIRECTORY}/ca.crt`)
    },
  )

  test("--check says what differs with exit code 1 and changes nothing", async () => {
    const before = await setup("--check")
    expect([before.code, before.out, tree()]).toEqual([
      1,
      `would write /${DIRECTORY}/hosts.toml\nwould write /etc/hosts\n`,
      [],
    ])
    await setup()
    const after = await setup("--check")
    expect([after.code, after.out]).toEqual([0, "nothing to do\n"])
  })

  test("--uninstall removes what is its own, and only that", async () => {
    put("etc/hosts", "127.0.0.1 localhost\n")
    put("etc/containerd/certs.d/docker.io/hosts.toml", "theirs")
    const before = tree()
    await setup()

    const { code } = await setup("--uninstall")

    expect([code, tree(), read("etc/hosts")]).toEqual([0, before, "127.0.0.1 localhost\n"])
    expect((await setup("--uninstall")).out).toBe("nothing to do\n")
  })

  test("--uninstall leaves a hosts.toml that somebody else wrote", async () => {
    put(`${DIRECTORY}/hosts.toml`, "theirs")
    await setup("--uninstall")
    expect(read(`${DIRECTORY}/hosts.toml`)).toBe("theirs")
  })

  test("never follows a symlink out of the machine's own root", async () => {
    const outside = tempDir()
    writeFileSync(join(outside, "hosts"), "outside\n")
    mkdirSync(join(host, "etc"))
    symlinkSync(join(outside, "hosts"), join(host, "etc/hosts"))
    symlinkSync(`../../../../../..${outside}`, join(host, "etc/containerd"))

    const { code } = await setup()

    expect(code).toBe(0)
    expect([readdirSync(outside), readFileSync(join(outside, "hosts"), "utf8")]).toEqual([["hosts"], "outside\n"])
    expect(lstatSync(join(host, "etc/hosts")).isSymbolicLink()).toBe(true)
    expect(readFileSync(join(host, outside, "hosts"), "utf8")).toBe(HOST_LINE)
  })

  const mounting = needs("root", "mount", "umount")
  test.skipIf(mounting.isMissing)(`rewrites a hosts file that is mounted by itself${mounting.note}`, async () => {
    const outside = join(tempDir(), "hosts")
    writeFileSync(outside, "127.0.0.1 localhost\n")
    put("etc/hosts", "")
    await output(["mount", "--bind", outside, join(host, "etc/hosts")])
    const { code } = await setup()
    await output(["umount", join(host, "etc/hosts")])

    expect([code, readFileSync(outside, "utf8")]).toEqual([0, `127.0.0.1 localhost\n${HOST_LINE}`])
  })

  test.each([
    ["version = 2\n[plugins]\n", true],
    ['version = 2\n[plugins."io.containerd.grpc.v1.cri".registry]\n  config_path = "/etc/containerd/certs.d"\n', false],
    ["version = 3\n", false],
  ])("tells where containerd would not look at it: %j", async (config, isTold) => {
    put("etc/containerd/config.toml", config)
    expect((await setup()).out.includes("config_path")).toBe(isTold)
  })

  test.each([
    [["setup", "--hostfs", "/nowhere"], 2, "--hostname is missing"],
    [["setup", "--hostname", "reg.x"], 2, "--hostfs is missing"],
    [["setup", "--hostname", "../x", "--hostfs", "/"], 2, "is no host name"],
    [["setup", "--hostname", 'x"y', "--hostfs", "/"], 2, "is no host name"],
    [["setup", "--hostname", "reg.x", "--hostfs", "/", "--port", "0"], 2, "is no port"],
    [["setup", "--hostname", "reg.x", "--hostfs", "/", "--check", "--uninstall"], 2, "exclude each other"],
    [["setup", "--hostname", "reg.x", "--hostfs", "/nowhere/at/all"], 1, "/nowhere/at/all"],
    [["setup", "--hostname", "reg.x", "--hostfs", "/nowhere", "--ca", "/dev/null"], 1, "holds no PEM certificate"],
  ])("%j is refused", async (args, code, message) => {
    const finished = await runBinary(args)
    expect(finished.err).toContain(message)
    expect(finished.code).toBe(code)
  })
})
