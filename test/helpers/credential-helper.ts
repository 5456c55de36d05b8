import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { tempDir } from "./temp-dir.ts"

export interface FakeHelper {
  /** To be put on the PATH. */
  readonly dir: string
  /** The servers that were asked for, in order. */
  asked(): readonly string[]
  /** What it does from now on; `$server` is what it is asked for. */
  says(script: string): void
}

/** The program `docker-credential-<name>`, in shell. */
export function installHelper(name: string, script: string, dir = tempDir()): FakeHelper {
  const program = join(dir, `docker-credential-${name}`)
  const notes = join(dir, `${name}.asked`)
  mkdirSync(dir, { recursive: true })
  writeFileSync(notes, "")
  const says = (body: string) => {
    writeFileSync(
      program,
      `#!/bin/sh\n[ "$1" = get ] || exit 2\nserver=$(cat)\necho "$server" >> '${notes}'\n${body}\n`,
    )
    chmodSync(program, 0o755)
  }
  says(script)
  return { dir, says, asked: () => readFileSync(notes, "utf8").split("\n").filter(Boolean) }
}

/** Prints what helpers print. */
export const printing = (username: string, secret: string): string =>
  `printf '%s' '${JSON.stringify({ ServerURL: "x", Username: username, Secret: secret })}'`
