import { closeSync, constants, fstatSync, openSync, statSync } from "node:fs"
import { mkdir, readdir, rm, unlink } from "node:fs/promises"
import { join } from "node:path"
import type { TryLock } from "../lib/flock.ts"

const CREATE = constants.O_RDWR | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW
const OPEN = constants.O_RDWR | constants.O_NOFOLLOW
const SUFFIX = ".lock"
const MAX_TRIES = 10

/** A directory for unfinished files that belongs to one process, and is known to be abandoned when that has ended. */
export interface Workplace {
  readonly dir: string
  /** Removes the directory with everything in it. */
  leave(): Promise<void>
}

/** Makes a workplace below `parent`. Without locks, nobody can tell later that it is abandoned. Rejects when the disk does not allow it. */
export async function openWorkplace(parent: string, tryLock: TryLock | null): Promise<Workplace> {
  for (let tries = 0; tries < MAX_TRIES; tries += 1) {
    const dir = join(parent, crypto.randomUUID())
    const lock = openSync(`${dir}${SUFFIX}`, CREATE, 0o600)
    // Between these two lines a sweeper may have taken the new file for an abandoned one
    if (tryLock?.(lock) === false || !isSameFile(lock, `${dir}${SUFFIX}`)) {
      closeSync(lock)
      continue
    }
    const workplace = { dir, leave: async () => await leave(dir, lock) }
    try {
      await mkdir(dir, { mode: 0o700 })
      return workplace
    } catch (error) {
      await workplace.leave() // a lock that is left open would be one more after every attempt
      throw error
    }
  }
  throw new Error(`Cannot make a directory below ${parent}: every attempt was swept away`)
}

async function leave(dir: string, lock: number): Promise<void> {
  await rm(dir, { recursive: true, force: true })
  await rm(`${dir}${SUFFIX}`, { force: true })
  closeSync(lock)
}

/** Removes what processes that have ended left behind; gives the number of directories. Living ones are not touched. */
export async function sweepWorkplaces(parent: string, tryLock: TryLock): Promise<number> {
  const names = await readdir(parent)
  const locks = names.filter((name) => name.endsWith(SUFFIX))
  const orphans = names.filter((name) => !name.endsWith(SUFFIX) && !locks.includes(`${name}${SUFFIX}`))
  for (const name of orphans) await rm(join(parent, name), { recursive: true, force: true })
  let swept = orphans.length
  for (const name of locks) if (await sweepAbandoned(join(parent, name), tryLock)) swept += 1
  return swept
}

async function sweepAbandoned(path: string, tryLock: TryLock): Promise<boolean> {
  const lock = tryOpen(path)
  if (lock === null) return false
  try {
    if (!tryLock(lock) || !isSameFile(lock, path)) return false
    await rm(path.slice(0, -SUFFIX.length), { recursive: true, force: true })
    await unlink(path).catch(() => {}) // its owner may have been quicker
    return true
  } finally {
    closeSync(lock)
  }
}

function tryOpen(path: string): number | null {
  try {
    return openSync(path, OPEN)
  } catch {
    return null // gone meanwhile, or not ours to open
  }
}

function isSameFile(descriptor: number, path: string): boolean {
  const named = statSync(path, { throwIfNoEntry: false })
  return named !== undefined && named.ino === fstatSync(descriptor).ino
}
