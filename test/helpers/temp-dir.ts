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

// Runs once, after the last file, because bunfig.toml loads this module before the first
afterAll(() => {
  for (const dir of made.splice(0)) rmSync(dir, { recursive: true, force: true })
})
