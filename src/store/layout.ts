import { mkdir, open, readFile, rename } from "node:fs/promises"
import { join } from "node:path"
import type { TryLock } from "../lib/flock.ts"
import { isMissing } from "./disk-error.ts"
import type { DiskPaths } from "./disk-path.ts"
import { StoreBypass } from "./store.ts"
import { openWorkplace, type Workplace } from "./workplace.ts"

const LAYOUT = "registry-facade store 1\n"

/**
 * True once the directory is known to be a store of this version; false while there is none. Rejects with StoreBypass
 * where another version has written it, or when the disk does not tell: then nothing in it may be touched.
 */
export async function readLayout({ layout, root }: DiskPaths): Promise<boolean> {
  const found = await readFile(layout, "utf8").catch((error) => {
    if (isMissing(error)) return null
    throw error
  })
  if (found === null || found === LAYOUT) return found !== null
  const shown = JSON.stringify(found.slice(0, 60))
  throw new StoreBypass(
    "readonly",
    `The store in ${root} has the layout ${shown}, which this version does not know; it is left alone`,
  )
}

/** Makes what is missing of a store, and a workplace in it. Rejects as `readLayout` does. Several processes may do so at once. */
export async function prepareStore(paths: DiskPaths, tryLock: TryLock | null): Promise<Workplace> {
  const isThere = await readLayout(paths)
  const { bad, blobs, images, tmp } = paths
  for (const dir of [tmp, bad, blobs, images]) await mkdir(dir, { recursive: true, mode: 0o700 })
  const workplace = await openWorkplace(tmp, tryLock)
  if (isThere) return workplace
  try {
    await writeLayout(paths, join(workplace.dir, "layout"))
    return workplace
  } catch (error) {
    await workplace.leave()
    throw error
  }
}

/** Whole or not at all: a torn word would be taken for another version's, for ever. */
async function writeLayout({ layout }: DiskPaths, draft: string): Promise<void> {
  const file = await open(draft, "wx", 0o600)
  try {
    await file.writeFile(LAYOUT)
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(draft, layout)
}
