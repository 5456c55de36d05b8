import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

/**
 * Runs everything that tests this project: gets the real servers and clients that tests need where that is possible,
 * builds the binary, runs `bun test`, and ends with one line that counts.
 */

/** Debian packages, by a program that each brings. */
const PACKAGES: Readonly<Record<string, string>> = {
  "docker-registry": "docker-registry",
  skopeo: "skopeo",
  buildah: "buildah",
  umoci: "umoci",
  containerd: "containerd",
  runc: "runc",
  zstd: "zstd",
}

const ROOT = join(import.meta.dir, "..")

function run(command: readonly string[], env: Readonly<Record<string, string>> = {}): number {
  const { exitCode } = Bun.spawnSync([...command], {
    cwd: ROOT,
    stdio: ["ignore", "inherit", "inherit"],
    env: { ...process.env, ...env },
  })
  return exitCode
}

function installServers(): void {
  const missing = Object.entries(PACKAGES).filter(
    ([program]) => Bun.which(program, { PATH: `${process.env["PATH"]}:/usr/sbin:/sbin` }) === null,
  )
  if (missing.length === 0) return
  const names = missing.map(([, name]) => name).join(" ")
  if (process.getuid?.() !== 0 || !existsSync("/etc/debian_version")) {
    console.log(`Not installed, so the tests that need them are skipped: ${names} (needs root on Debian)`)
    return
  }
  const quiet = { DEBIAN_FRONTEND: "noninteractive" }
  run(["apt-get", "update", "-qq"], quiet)
  const code = run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", ...names.split(" ")], quiet)
  if (code !== 0) console.log(`Not all of these could be installed, the tests that need them are skipped: ${names}`)
}

interface Counts {
  readonly passed: number
  readonly failed: number
  readonly skipped: number
}

/** From the report's root element: what `bun test` prints is for people. */
function readCounts(report: string): Counts {
  const root = existsSync(report) ? (/<testsuites\b[^>]*>/.exec(readFileSync(report, "utf8"))?.[0] ?? "") : ""
  const count = (name: string) => Number(new RegExp(`\\b${name}="(\\d+)"`).exec(root)?.[1] ?? 0)
  const [failed, skipped] = [count("failures"), count("skipped")]
  return { passed: count("tests") - failed - skipped, failed, skipped }
}

installServers()
if (run([process.execPath, "build.ts"]) !== 0) {
  console.log("0 passed, 1 failed, 0 skipped")
  process.exit(1)
}
const dir = mkdtempSync(join(tmpdir(), "registry-facade-report-"))
const report = join(dir, "junit.xml")
const code = run([
  process.execPath,
  "test",
  "--reporter=junit",
  `--reporter-outfile=${report}`,
  ...process.argv.slice(2),
])
const { passed, failed, skipped } = readCounts(report)
rmSync(dir, { recursive: true, force: true })
const crashed = code !== 0 && failed === 0 ? 1 : 0
console.log(`${passed} passed, ${failed + crashed} failed, ${skipped} skipped`)
process.exit(code)
