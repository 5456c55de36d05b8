import { afterAll, beforeAll, describe } from "bun:test"
import { mkdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { CONTAINERDS, type ContainerdPrograms, startContainerdProcess } from "./containerd-process.ts"
import { needs, type Outcome, output, run } from "./programs.ts"

export interface Containerd {
  /** For a ctr that somebody else calls. */
  readonly env: Readonly<Record<string, string>>
  /** Pulls and unpacks, which checks digests, sizes and diff_ids. */
  pull(reference: string, platform?: string): Promise<Outcome>
  /** The same with flags of ctr's own, like those for TLS, users and a directory of hosts.toml files. */
  pullWith(flags: readonly string[], reference: string): Promise<Outcome>
  /** The directory where the files of an image that was pulled are to be seen until the end. */
  mount(reference: string, platform?: string): Promise<string>
  /** What the tag of an image that was pulled stands for in its store. */
  digestOf(reference: string): Promise<string>
  /** What its store holds under a digest. */
  content(digest: string): Promise<string>
  /** The images that are there, as ctr lists them. */
  images(): Promise<string>
  stop(): Promise<void>
}

/** A containerd without the part that kubelets ask. */
export async function startContainerd(programs: ContainerdPrograms = CONTAINERDS[0]): Promise<Containerd> {
  const top = 'disabled_plugins = ["io.containerd.grpc.v1.cri"]'
  const { dir, socket, stop } = await startContainerdProcess(programs, { top })
  const ctr = [programs.ctr, "--address", socket, "--namespace", "e2e"]
  const snapshotter = /overlayfs\s.*\sok\s/.test(await output([...ctr, "plugins", "ls"])) ? "overlayfs" : "native"
  const on = ["--snapshotter", snapshotter]
  const only = (platform: string | undefined) => (platform === undefined ? [] : ["--platform", platform])
  let mounts = 0
  return {
    env: { CONTAINERD_ADDRESS: socket, CONTAINERD_SNAPSHOTTER: snapshotter },
    pull: async (reference, platform) => {
      return await run([...ctr, "images", "pull", "--plain-http", ...on, ...only(platform), reference])
    },
    pullWith: async (flags, reference) => await run([...ctr, "images", "pull", ...flags, ...on, reference]),
    mount: async (reference, platform) => {
      mounts += 1
      const target = join(dir, `mount-${mounts}`)
      mkdirSync(target)
      await output([...ctr, "images", "mount", ...on, ...only(platform), reference, target])
      return target
    },
    digestOf: async (reference) => {
      const listed = await output([...ctr, "images", "ls", `name==${reference}`])
      return /sha256:[0-9a-f]{64}/.exec(listed)?.[0] ?? ""
    },
    content: async (digest) => await output([...ctr, "content", "get", digest]),
    images: async () => await output([...ctr, "images", "ls", "--quiet"]),
    stop: async () => {
      // Later ones mount an image twice: where they are told, and for themselves
      for (const target of mountsBelow(dir)) await output(["umount", target])
      await stop()
    },
  }
}

/** Tests with a containerd of their own, which is there as soon as they run; skipped where the machine has none. */
export function describeContainerd(title: string, tests: (containerd: () => Containerd) => void): void {
  const required = needs("containerd", "ctr", "root")
  describe.skipIf(required.isMissing)(`${title}${required.note}`, () => {
    let containerd: Containerd
    beforeAll(async () => {
      containerd = await startContainerd()
    })
    afterAll(async () => await containerd?.stop())
    tests(() => containerd)
  })
}

/** The latest first. */
const mountsBelow = (dir: string): readonly string[] =>
  readFileSync("/proc/self/mounts", "utf8")
    .split("\n")
    .map((line) => line.split(" ")[1] ?? "")
    .filter((target) => target.startsWith(`${dir}/`))
    .toReversed()
