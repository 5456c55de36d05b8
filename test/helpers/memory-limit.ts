import { existsSync, mkdirSync, rmdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"

export interface MemoryLimit {
  /** Puts a command under the limit. */
  readonly wrapper: readonly string[]
  /** Once nothing runs under it any more. */
  remove(): void
}

/** By the version of control groups: where they are, and which file holds the limit. */
const VERSIONS = [
  ["/sys/fs/cgroup/memory", "memory.limit_in_bytes"],
  ["/sys/fs/cgroup", "memory.max"],
] as const

/** A control group with so much memory, page cache included. Null: this machine does not allow it. */
export function limitMemory(bytes: number): MemoryLimit | null {
  for (const [root, file] of VERSIONS) {
    const dir = join(root, `registry-facade-test-${process.pid}`)
    try {
      mkdirSync(dir)
      if (!existsSync(join(dir, file))) throw new Error(`There is no ${file}`)
      writeFileSync(join(dir, file), String(bytes))
      const wrapper = ["sh", "-c", `echo $$ > '${join(dir, "cgroup.procs")}' && exec "$@"`, "sh"]
      return { wrapper, remove: () => rmdirSync(dir) }
    } catch {
      if (existsSync(dir)) rmdirSync(dir)
    }
  }
  return null
}
