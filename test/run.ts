import { existsSync, readFileSync } from "node:fs"
import { basename, join } from "node:path"
import { removeLeftovers, tempDir } from "./helpers/temp-dir.ts"

/**
 * Runs everything that tests this project: gets the packages, and the real servers and clients that tests need where
 * that is possible, builds the binary, runs `bun test`, and ends with one line that counts, whatever happens.
 */
const ROOT = join(import.meta.dir, "..")
/** What is built for tests; they look for programs here, too. */
const BIN = join(ROOT, ".cache/bin")

/** What takes minutes more: the containerd of today besides Debian's, a Docker daemon, an API server, the largest blobs. */
const IS_FULL = process.env["TEST_SCALE"] === "full"

/** Debian packages, by a program that each brings. */
const PACKAGES: Readonly<Record<string, string>> = {
  "docker-registry": "docker-registry",
  skopeo: "skopeo",
  buildah: "buildah",
  umoci: "umoci",
  containerd: "containerd",
  runc: "runc",
  zstd: "zstd",
  "redis-server": "redis-server",
  curl: "curl",
  strace: "strace",
  faketime: "faketime",
  nginx: "nginx-light",
  wrk: "wrk",
  openssl: "openssl",
  htpasswd: "apache2-utils",
  "systemd-analyze": "systemd",
  promtool: "prometheus",
  chromium: "chromium",
  "qemu-aarch64-static": "qemu-user-static",
  gcc: "gcc",
  "musl-gcc": "musl-tools",
  ...(IS_FULL ? { dockerd: "docker.io", kubectl: "kubernetes-client" } : {}),
}

/** Go programs that Debian does not have, or not as late, by name; half a minute to two minutes to build, once. */
const GO_PROGRAMS: Readonly<Record<string, string>> = {
  crane: "github.com/google/go-containerregistry/cmd/crane@v0.20.7",
  ...(IS_FULL
    ? {
        "containerd-2": "github.com/containerd/containerd/v2/cmd/containerd@v2.2.9",
        "ctr-2": "github.com/containerd/containerd/v2/cmd/ctr@v2.2.9",
      }
    : {}),
}

interface GoModule {
  readonly dir: string
  readonly source: string
  /** What the linker puts into variables. */
  readonly variables?: string
}

/** Kubernetes is told its version when it is built, and Helm asks for it. */
const API_SERVER: GoModule = {
  dir: "test/programs/kubernetes",
  source: ".",
  variables: "-X k8s.io/component-base/version.gitVersion=v1.34.4",
}

/** Go programs that are built as part of a module here, because their own cannot be installed; two minutes each, once. */
const GO_MODULES: Readonly<Record<string, GoModule>> = {
  ipfs: { dir: "test/programs/kubo", source: "github.com/ipfs/kubo/cmd/ipfs" },
  "ipfs-cluster-service": {
    dir: "test/programs/ipfs-cluster",
    source: "github.com/ipfs-cluster/ipfs-cluster/cmd/ipfs-cluster-service",
  },
  helm: { dir: "test/programs/helm", source: "helm.sh/helm/v3/cmd/helm" },
  ...(IS_FULL ? { "kube-apiserver-alone": API_SERVER } : {}),
}

async function run(command: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<number> {
  const child = Bun.spawn([...command], {
    cwd: ROOT,
    stdio: ["ignore", "inherit", "inherit"],
    env: { ...process.env, ...env },
  })
  return await child.exited
}

const isMissing = (program: string): boolean =>
  Bun.which(program, { PATH: `${process.env["PATH"]}:/usr/sbin:/sbin:${BIN}` }) === null

async function installServers(): Promise<void> {
  const missing = Object.entries(PACKAGES).filter(([program]) => isMissing(program))
  if (missing.length === 0) return
  const names = missing.map(([, name]) => name).join(" ")
  if (process.getuid?.() !== 0 || !existsSync("/etc/debian_version")) {
    console.log(`Not installed, so the tests that need them are skipped: ${names} (needs root on Debian)`)
    return
  }
  const quiet = { DEBIAN_FRONTEND: "noninteractive" }
  await run(["apt-get", "update", "-qq"], quiet)
  const code = await run(["apt-get", "install", "-y", "-qq", "--no-install-recommends", ...names.split(" ")], quiet)
  if (code !== 0) console.log(`Not all of these could be installed, the tests that need them are skipped: ${names}`)
}

/** `go install` names a program by its package. */
function installAs(program: string, source: string): readonly string[] {
  const name = basename(source.replace(/@.*$/, ""))
  const dir = join(BIN, `${program}.new`)
  const script = 'GOBIN="$1" go install "$2" && mv "$1/$3" "$4" && rmdir "$1"'
  return ["sh", "-c", script, "sh", dir, source, name, join(BIN, program)]
}

const GO_ENV = { GOTOOLCHAIN: "local", GOFLAGS: "-modcacherw", CGO_ENABLED: "0" }

async function buildGoPrograms(): Promise<void> {
  // One of Kubo's dependencies wants to be told that it may be built with a Go that is newer than itself
  const flags = ["-tags", "untested_go_version"]
  const commands = [
    ...Object.entries(GO_PROGRAMS).map(([program, source]) => ({ program, command: installAs(program, source) })),
    ...Object.entries(GO_MODULES).map(([program, { dir, source, variables = "" }]) => ({
      program,
      command: ["go", "build", "-C", dir, ...flags, "-ldflags", `-s -w ${variables}`, "-o", join(BIN, program), source],
    })),
  ]
  for (const { program, command } of commands.filter(({ program }) => isMissing(program))) {
    const code = isMissing("go") ? 1 : await run(command, GO_ENV)
    if (code !== 0) console.log(`Cannot be built, so the tests that need it are skipped: ${program} (needs Go)`)
  }
}

/** Go programs of this project, by name; built each time, because they may have changed. */
const OWN_GO_PROGRAMS: Readonly<Record<string, string>> = { specserver: "test/go/specserver" }

async function buildOwnGoPrograms(): Promise<void> {
  for (const [program, dir] of Object.entries(OWN_GO_PROGRAMS)) {
    const command = ["go", "-C", join(ROOT, dir), "build", "-o", join(BIN, program), "."]
    const code = isMissing("go") ? 1 : await run(command, { GOTOOLCHAIN: "local", GOFLAGS: "-modcacherw" })
    if (code !== 0) console.log(`Cannot be built, so the tests that need it are skipped: ${program} (needs Go)`)
  }
}

interface Counts {
  readonly passed: number
  readonly failed: number
  readonly skipped: number
}

/** From the report: what `bun test` prints is for people. It counts the hooks of a skipped group as tests. */
function readCounts(report: string): Counts {
  const text = existsSync(report) ? readFileSync(report, "utf8") : ""
  const root = /<testsuites\b[^>]*>/.exec(text)?.[0] ?? ""
  const count = (name: string) => Number(new RegExp(`\\b${name}="(\\d+)"`).exec(root)?.[1] ?? 0)
  const [failed, skipped] = [count("failures"), count("skipped")]
  const hooks = text.match(/<testcase name="\(unnamed\)"[^>]*>\s*<skipped/g)?.length ?? 0
  return { passed: count("tests") - failed - skipped, failed, skipped: skipped - hooks }
}

async function test(report: string): Promise<Counts> {
  const failure = { passed: 0, failed: 1, skipped: 0 }
  if ((await run([process.execPath, "install", "--frozen-lockfile", "--silent"])) !== 0) return failure
  const bun = join(ROOT, "node_modules/.bin/bun")
  const [built] = await Promise.all([
    run([bun, "build.ts"]),
    installServers(),
    buildGoPrograms().then(buildOwnGoPrograms),
  ])
  if (built !== 0) return failure
  const flags = ["--reporter=junit", `--reporter-outfile=${report}`]
  const code = await run([bun, "test", ...flags, ...process.argv.slice(2)])
  const counts = readCounts(report)
  const isCrash = code !== 0 && counts.failed === 0
  return { ...counts, failed: counts.failed + (isCrash ? 1 : 0) }
}

const { passed, failed, skipped } = await test(join(tempDir(), "junit.xml")).catch((error) => {
  console.error(error)
  return { passed: 0, failed: 1, skipped: 0 }
})
removeLeftovers() // of tests that were killed
console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`)
process.exit(failed === 0 ? 0 : 1)
