import { beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { copyFileSync } from "node:fs"
import { join } from "node:path"
import { debianRoot } from "../../deploy/image/debian-root.ts"
import { version } from "../../package.json" with { type: "json" }
import { crawl } from "../helpers/crawl.ts"
import { startFacade } from "../helpers/facade.ts"
import { ROOT } from "../helpers/markdown.ts"
import { needs, output } from "../helpers/programs.ts"
import { tempDir } from "../helpers/temp-dir.ts"

setDefaultTimeout(300_000)

const EM_X86_64 = 62
const EM_AARCH64 = 183
const MACHINES = [
  ["linux-x64", EM_X86_64, "/lib64/ld-linux-x86-64.so.2"],
  ["linux-x64-musl", EM_X86_64, "/lib/ld-musl-x86_64.so.1"],
  ["linux-arm64", EM_AARCH64, "/lib/ld-linux-aarch64.so.1"],
  ["linux-arm64-musl", EM_AARCH64, "/lib/ld-musl-aarch64.so.1"],
] as const

const fileFor = (machine: (typeof MACHINES)[number][0]): string => join(ROOT, `dist/registry-facade-${machine}`)

/** Of an ELF file: the processor that it is for, and the loader that it names. */
async function headerOf(file: string) {
  const header = Buffer.from(await Bun.file(file).slice(0, 4096).arrayBuffer())
  const loader = /\/lib(?:64)?\/ld-[\w.-]+/.exec(header.toString("latin1"))?.[0]
  return { magic: header.toString("latin1", 0, 4), machine: header.readUInt16LE(18), loader }
}

describe("the programs of bun build.ts --all", () => {
  beforeAll(async () => {
    await output([process.execPath, "build.ts", "--all"], { cwd: ROOT })
  })

  test.each(MACHINES)("%s is for that machine", async (name, machine, loader) => {
    expect(await headerOf(fileFor(name))).toEqual({ magic: "\u007fELF", machine, loader })
  })

  const arm = needs("qemu-aarch64-static", "apt-get", "dpkg", "root")
  test.skipIf(arm.isMissing)(`linux-arm64 serves a pull${arm.note}`, async () => {
    const root = tempDir()
    await debianRoot("arm64", root, tempDir())

    await expectToServe(fileFor("linux-arm64"), ["qemu-aarch64-static", "-L", root], {})
  })

  // Debian has no libstdc++ for musl: its own one is given what it misses of the GNU C library
  const musl = needs("musl-gcc", "gcc")
  test.skipIf(musl.isMissing || process.arch !== "x64")(`linux-x64-musl serves a pull${musl.note}`, async () => {
    const dir = tempDir()
    for (const name of ["libstdc++.so.6", "libgcc_s.so.1"]) {
      copyFileSync((await output(["gcc", `-print-file-name=${name}`])).trim(), join(dir, name))
    }
    const source = join(ROOT, "test/programs/musl/glibc-names.c")
    await output(["musl-gcc", "-shared", "-fPIC", "-o", join(dir, "ld-linux-x86-64.so.2"), source])

    await expectToServe(fileFor("linux-x64-musl"), [], { LD_LIBRARY_PATH: dir })
  })
})

async function expectToServe(program: string, wrapper: readonly string[], env: Readonly<Record<string, string>>) {
  const said = await output([...wrapper, program, "version"], { env })
  const specs = { hello: { baseRef: "scratch", layers: [{ files: { "/etc/motd": "hello" } }] } }
  const facade = await startFacade({ mode: "binary", specs, program, wrapper, env })
  const checked = await output([...wrapper, program, "config", "check", join(facade.dir, "config.json")], { env })
  const { configs } = await crawl(facade, "hello").finally(() => facade.stop())

  expect(said).toStartWith(`registry-facade ${version} (commit `)
  expect(checked).toContain("is valid, and so are the 1 specs")
  expect(configs.map(({ rootfs }) => rootfs.diff_ids.length)).toEqual([1])
}
