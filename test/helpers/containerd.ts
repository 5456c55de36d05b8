import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { type Outcome, output, run, startServer } from "./programs.ts"
import { tempDir } from "./temp-dir.ts"

export interface Containerd {
  /** For a ctr that somebody else calls. */
  readonly env: Readonly<Record<string, string>>
  /** Pulls and unpacks, which checks digests, sizes and diff_ids. */
  pull(reference: string, platform?: string): Promise<Outcome>
  /** The same with flags of ctr's own, like those for TLS, users and a directory of hosts.toml files. */
  pullWith(flags: readonly string[], reference: string): Promise<Outcome>
  /** The directory where the files of an image that was pulled are to be seen until the end. */
  mount(reference: string, platform?: string): Promise<string>
  /** The images that are there, as ctr lists them. */
  images(): Promise<string>
  stop(): Promise<void>
}

/** A containerd that shares nothing with the one that a machine may have; needs root. */
export async function startContainerd(): Promise<Containerd> {
  const dir = tempDir()
  const socket = join(dir, "s")
  const file = join(dir, "config.toml")
  mkdirSync(join(dir, "root"))
  writeFileSync(
    file,
    `version = 2
root = "${join(dir, "root")}"
state = "${join(dir, "state")}"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "${socket}"
`,
  )
  const { stop } = await startServer(["containerd", "--config", file], /containerd successfully booted/)
  const ctr = ["ctr", "--address", socket, "--namespace", "e2e"]
  const snapshotter = /overlayfs\s.*\sok\s/.test(await output([...ctr, "plugins", "ls"])) ? "overlayfs" : "native"
  const on = ["--snapshotter", snapshotter]
  const only = (platform: string | undefined) => (platform === undefined ? [] : ["--platform", platform])
  const mounts: string[] = []
  return {
    env: { CONTAINERD_ADDRESS: socket, CONTAINERD_SNAPSHOTTER: snapshotter },
    pull: async (reference, platform) => {
      return await run([...ctr, "images", "pull", "--plain-http", ...on, ...only(platform), reference])
    },
    pullWith: async (flags, reference) => await run([...ctr, "images", "pull", ...flags, ...on, reference]),
    mount: async (reference, platform) => {
      const target = join(dir, `mount-${mounts.length}`)
      mkdirSync(target)
      await output([...ctr, "images", "mount", ...on, ...only(platform), reference, target])
      mounts.push(target)
      return target
    },
    images: async () => await output([...ctr, "images", "ls", "--quiet"]),
    stop: async () => {
      for (const target of mounts) await output(["umount", target])
      await stop()
    },
  }
}
