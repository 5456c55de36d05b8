import { afterAll } from "bun:test"
import { removeLeftovers, removeTempDirs, tempDir } from "./helpers/temp-dir.ts"

// Loaded before all tests (bunfig.toml): a hook of a test file would run once, after the first file that imports it

/** Removing what hundreds of tests have written takes a while on a busy machine. */
const REMOVE_MS = 60_000

removeLeftovers()
// What tests start keeps its temporary files there, also when it is killed
process.env["TMPDIR"] = tempDir()
afterAll(removeTempDirs, REMOVE_MS)
afterAll(removeLeftovers, REMOVE_MS)
