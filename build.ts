import { mkdir, rm } from "node:fs/promises"

/** Builds `dist/registry-facade`, one file that needs no Bun and reads no .env and no bunfig where it runs. */
const OUTFILE = "dist/registry-facade"

function output(command: readonly string[]): string {
  const { exitCode, stdout, stderr } = Bun.spawnSync([...command])
  if (exitCode !== 0) throw new Error(`${command.slice(0, 2).join(" ")} failed: ${stderr}${stdout}`)
  return stdout.toString().trim()
}

function commitOf(): string {
  try {
    return output(["git", "rev-parse", "--short=12", "HEAD"])
  } catch {
    return "unknown" // an unpacked archive has no history
  }
}

const commit = commitOf()
await mkdir("dist", { recursive: true })
await rm(OUTFILE, { force: true })
const flags = ["--compile", "--minify-syntax", "--minify-whitespace", "--bytecode", "--format=esm"]
const isolation = ["--no-compile-autoload-dotenv", "--no-compile-autoload-bunfig"]
const stamp = ["--define", `BUILD_COMMIT=${JSON.stringify(commit)}`]
output([process.execPath, "build", "src/main.ts", ...flags, ...isolation, ...stamp, "--outfile", OUTFILE])
console.log(`${OUTFILE}: ${Math.round(Bun.file(OUTFILE).size / 1e6)} MB, commit ${commit}`)
