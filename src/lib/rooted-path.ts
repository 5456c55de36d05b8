import { readlinkSync } from "node:fs"
import { join } from "node:path"

const MAX_LINKS = 40

/**
 * Where `path` leads on the system whose root directory is `root`: its symlinks are followed as that system would follow
 * them, so none leads out of it. What does not exist is taken as it is written. Throws when symlinks go in a circle.
 */
export function resolveBelow(root: string, path: string): string {
  let links = 0
  const follow = (done: readonly string[], [part, ...rest]: readonly string[]): string => {
    if (part === undefined) return join(root, ...done)
    if (part === "..") return follow(done.slice(0, -1), rest)
    const target = linkTarget(join(root, ...done, part))
    if (target === null) return follow([...done, part], rest)
    links += 1
    if (links > MAX_LINKS) throw new Error(`Cannot follow ${path} below ${root}: too many symlinks`)
    return follow(target.startsWith("/") ? [] : done, [...partsOf(target), ...rest])
  }
  return follow([], partsOf(path))
}

const partsOf = (path: string): readonly string[] => path.split("/").filter((part) => part !== "" && part !== ".")

/** Null: it is no symlink, or not there. */
function linkTarget(path: string): string | null {
  try {
    return readlinkSync(path)
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : null
    if (code === "EINVAL" || code === "ENOENT" || code === "ENOTDIR") return null
    throw error
  }
}
