import { BINARY } from "./facade.ts"

export interface Finished {
  readonly code: number
  readonly out: string
  readonly err: string
}

/** Runs the compiled program to its end. */
export async function runBinary(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Finished> {
  const child = Bun.spawn([BINARY, ...args], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    env: { ...process.env, ...env },
  })
  const [out, err, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ])
  return { code, out, err }
}
