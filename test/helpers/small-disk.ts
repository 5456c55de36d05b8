import { output } from "./programs.ts"

/** Programs that a disk of its own takes; "root" among them. */
export const DISK_PROGRAMS = ["root", "unshare", "nsenter", "mount"] as const

/** Runs a command that sees a tmpfs at `dir`, after the commands that prepare it; it is gone with the process. */
export const onTmpfs = (dir: string, options: string, prepare = "true"): readonly string[] => [
  "unshare",
  "--mount",
  "sh",
  "-c",
  `mkdir -p '${dir}' && mount -t tmpfs -o '${options}' tmpfs '${dir}' && ${prepare} && exec "$@"`,
  "sh",
]

/** A path as that process sees it. */
export const seenBy = (pid: number, path: string): string => `/proc/${pid}/root${path}`

/** Changes the disk under a running process. */
export async function remount(pid: number, dir: string, options: string): Promise<void> {
  await output(["nsenter", "--target", String(pid), "--mount", "mount", "-o", `remount,${options}`, dir])
}
