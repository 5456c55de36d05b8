import { afterAll } from "bun:test"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

const made: string[] = []

/** An empty directory that is gone when all tests are done. */
export function tempDir(): string {
  const dir = mkdtempSync(join(tmpdir(), "registry-facade-test-"))
  made.push(dir)
  return dir
}

/** Removing what hundreds of tests have written takes a while on a busy machine. */
const REMOVE_MS = 60_000

// Loaded before all tests (bunfig.toml): from a test file this would run once, after the first file that imports it
afterAll(() => {
  for (const dir of made.splice(0)) rmSync(dir, { recursive: true, force: true })
}, REMOVE_MS)
