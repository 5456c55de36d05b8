import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

const PREFIX = "registry-facade-test-"
const OWNER = new RegExp(`^${PREFIX}(\\d+)-`)

/** Looked up once, because tests tell what they start to use another place. */
const DISK = tmpdir()
const MEMORY = existsSync("/dev/shm") ? "/dev/shm" : DISK

/** What this process has made, by the place where it lies: one directory that holds all the others. */
const roots = new Map<string, string>()

/** An empty directory that is gone when all tests are done. */
export const tempDir = (): string => makeIn(DISK)

/** The same in memory where that is possible: for tens of thousands of files. */
export const memoryDir = (): string => makeIn(MEMORY)

function makeIn(place: string): string {
  let root = roots.get(place)
  if (root === undefined) {
    root = mkdtempSync(join(place, `${PREFIX}${process.pid}-`))
    chmodSync(root, 0o711) // for programs that run as other users
    roots.set(place, root)
  }
  return mkdtempSync(`${root}/`)
}

/** Throws where something that a test has started goes on writing. */
export function removeTempDirs(): void {
  const made = [...roots.values()]
  roots.clear()
  const left = made.filter((root) => !remove(root))
  if (left.length > 0)
    throw new Error(`Cannot remove ${left.join(" and ")}: something that a test has started still writes there`)
}

/** False: it is still there, or there again. */
function remove(dir: string): boolean {
  try {
    rmSync(dir, { recursive: true, force: true })
  } catch {} // the directory tells
  return !existsSync(dir)
}

/** What processes have left that were killed, or have crashed. */
export function removeLeftovers(): void {
  for (const place of new Set([DISK, MEMORY])) {
    for (const name of readdirSync(place)) {
      const [, owner] = OWNER.exec(name) ?? []
      if (owner !== undefined && !isRunning(Number(owner))) remove(join(place, name))
    }
  }
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return !(error instanceof Error && "code" in error && error.code === "ESRCH")
  }
}

// `bun test` doesn't emit it: there it is done by test/preload.ts
process.on("exit", removeTempDirs)
