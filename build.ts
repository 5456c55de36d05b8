import { mkdir, rm } from "node:fs/promises"
import { join, parse } from "node:path"
import { parseArgs } from "node:util"
import { writeImage } from "./deploy/image/write-image.ts"
import { writeSbom } from "./deploy/sbom.ts"
import { version } from "./package.json" with { type: "json" }

/**
 * Builds `dist/registry-facade`, one file that needs no Bun and reads no .env and no bunfig where it runs.
 *
 *     bun build.ts             for this machine
 *     bun build.ts --all       for all machines, as dist/registry-facade-linux-x64 and so on
 *     bun build.ts --oci DIR   the container image for all architectures, as an OCI layout
 *
 * Beside them, `dist/registry-facade.cdx.json` tells what they are made of. Bun gets itself for other machines from the npm registry.
 */
const OUTFILE = "dist/registry-facade"
const TARGETS = ["linux-x64", "linux-x64-musl", "linux-arm64", "linux-arm64-musl"] as const

function output(command: readonly string[]): string {
  const { exitCode, stdout, stderr } = Bun.spawnSync([...command])
  if (exitCode !== 0) throw new Error(`${command.slice(0, 2).join(" ")} failed: ${stderr}${stdout}`)
  return stdout.toString().trim()
}

function commitOf(): string {
  try {
    return output(["git", "rev-parse", "--short=12", "HEAD"])
  } catch {
    return process.env["COMMIT"] ?? "unknown" // an unpacked archive has no history, and no image's build
  }
}

const commit = commitOf()
/** Threads begin in files of their own, which are found by their path from the first one's directory. */
const WORKER = "./archive/scan-worker.ts"

/** Null: for this machine. Gives the file. */
async function build(target: (typeof TARGETS)[number] | null): Promise<string> {
  const outfile = target === null ? OUTFILE : `${OUTFILE}-${target}`
  await mkdir("dist", { recursive: true })
  await rm(outfile, { force: true })
  // The map is in the program, so that stacks name the sources; names stay as they are, for classes print theirs
  const flags = ["--compile", "--minify-syntax", "--minify-whitespace", "--sourcemap", "--bytecode", "--format=esm"]
  const isolation = ["--no-compile-autoload-dotenv", "--no-compile-autoload-bunfig"]
  const stamp = [
    "--define",
    `BUILD_COMMIT=${JSON.stringify(commit)}`,
    "--define",
    `SCAN_WORKER=${JSON.stringify(WORKER)}`,
  ]
  const machine = target === null ? [] : [`--target=bun-${target}`]
  const entries = ["src/main.ts", join("src", WORKER)]
  output([process.execPath, "build", ...entries, ...flags, ...isolation, ...stamp, ...machine, "--outfile", outfile])
  for (const map of [`${outfile}.map`, join("dist", `${parse(WORKER).name}.js.map`)]) await rm(map, { force: true })
  console.log(`${outfile}: ${Math.round(Bun.file(outfile).size / 1e6)} MB, commit ${commit}`)
  return outfile
}

await writeSbom(`${OUTFILE}.cdx.json`, { version, commit })
const { values } = parseArgs({ options: { all: { type: "boolean" }, oci: { type: "string" } } })
if (values.oci !== undefined) {
  const binaries = { amd64: await build("linux-x64"), arm64: await build("linux-arm64") }
  console.log(`${values.oci}: ${await writeImage({ dir: values.oci, binaries, version, commit })}`)
} else if (values.all === true) {
  for (const target of TARGETS) await build(target)
} else {
  await build(null)
}
