import { existsSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { findProgram, type Outcome, output, run } from "./programs.ts"

/** An image unpacked for a runtime, as the runtime would start it. */
export interface Bundle {
  readonly rootfs: string
  readonly args: readonly string[]
  readonly env: readonly string[]
  readonly cwd: string
  read(path: string): string
  has(path: string): boolean
  /** Starts the image's program, or another one in it; needs root and runc. */
  start(args?: readonly string[]): Promise<Outcome>
}

interface RuntimeConfig {
  readonly process: { readonly args: readonly string[]; readonly env: readonly string[]; readonly cwd: string }
}

/** Unpacks an image of an OCI layout into `dir`; umoci checks digests, diff_ids and sizes on the way. */
export async function unpackBundle(layout: string, tag: string, dir: string): Promise<Bundle> {
  const rootless = process.getuid?.() === 0 ? [] : ["--rootless"]
  await output(["umoci", "unpack", ...rootless, "--image", `${layout}:${tag}`, dir])
  const file = join(dir, "config.json")
  const config: RuntimeConfig & Record<string, unknown> = JSON.parse(readFileSync(file, "utf8"))
  const { args, cwd, env } = config.process
  const rootfs = join(dir, "rootfs")
  const start = async (other?: readonly string[]) => {
    const used = other ?? args
    writeFileSync(file, JSON.stringify({ ...config, process: { ...config.process, terminal: false, args: used } }))
    const contained = await run(["runc", "--root", join(dir, "runc"), "run", "--bundle", dir, crypto.randomUUID()])
    if (!contained.stderr.includes("runc run failed")) return contained
    // Some sandboxes let nobody make cgroups or mounts; there a change of root has to do
    return await runIn(rootfs, used, env)
  }
  return {
    rootfs,
    args,
    env,
    cwd,
    read: (path) => readFileSync(join(rootfs, path), "utf8"),
    has: (path) => existsSync(join(rootfs, path)),
    start,
  }
}

/** Starts a program with an image's files as its root; needs root. */
export async function runIn(rootfs: string, args: readonly string[], env: readonly string[] = []): Promise<Outcome> {
  return await run(["env", "-i", ...env, findProgram("chroot") ?? "chroot", rootfs, ...args])
}
