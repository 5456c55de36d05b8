import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { startServer } from "./programs.ts"
import { tempDir } from "./temp-dir.ts"

/** The containerd of the machine, and a later one: they read hosts.toml and ask registries in their own ways. */
export const CONTAINERDS = [
  { daemon: "containerd", ctr: "ctr" },
  { daemon: "containerd-2", ctr: "ctr-2" },
] as const
export type ContainerdPrograms = (typeof CONTAINERDS)[number]

export interface ContainerdProcess {
  /** Of its own, and removed at the end. */
  readonly dir: string
  readonly socket: string
  stop(): Promise<void>
}

/** A containerd that shares nothing with the one that a machine may have; needs root. `settings` end its configuration. */
export async function startContainerdProcess(
  { daemon }: ContainerdPrograms,
  { top = "", settings = "" }: { readonly top?: string; readonly settings?: string },
): Promise<ContainerdProcess> {
  const dir = tempDir()
  const socket = join(dir, "s")
  const file = join(dir, "config.toml")
  mkdirSync(join(dir, "root"))
  writeFileSync(
    file,
    `version = 2
root = "${join(dir, "root")}"
state = "${join(dir, "state")}"
${top}
[grpc]
  address = "${socket}"
${settings}
`,
  )
  const { stop } = await startServer([daemon, "--config", file], /containerd successfully booted/)
  return { dir, socket, stop }
}
