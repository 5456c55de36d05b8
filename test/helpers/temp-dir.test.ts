import { expect, test } from "bun:test"
import { existsSync } from "node:fs"
import { dirname, join } from "node:path"
import { removeLeftovers, tempDir } from "./temp-dir.ts"

/** A program that makes a directory, and has it until it is killed. */
async function startWithDir() {
  const child = Bun.spawn(
    [process.execPath, "-e", 'console.log(require("./temp-dir.ts").tempDir()); process.stdin.resume()'],
    {
      cwd: import.meta.dir,
      env: { ...process.env, TMPDIR: join(dirname(tempDir()), "..") },
      stdio: ["pipe", "pipe", "inherit"],
    },
  )
  const { value } = await child.stdout.pipeThrough(new TextDecoderStream()).getReader().read()
  return { child, dir: value?.trim() ?? "" }
}

test("what a killed program has left is removed, and nothing of a running one", async () => {
  const [killed, running] = await Promise.all([startWithDir(), startWithDir()])
  killed.child.kill("SIGKILL")
  await killed.child.exited
  const before = [killed, running].map(({ dir }) => existsSync(dir))
  removeLeftovers()

  expect(before).toEqual([true, true])
  expect([killed, running].map(({ dir }) => existsSync(dir))).toEqual([false, true])
  running.child.stdin.end()
  await running.child.exited
  expect(existsSync(dirname(running.dir))).toBe(false)
})
