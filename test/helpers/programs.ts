import { join } from "node:path"

/** What a program of the machine, which tests drive as users do, left behind. */
export interface Outcome {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
}

/** Besides the user's: where Debian keeps what administrators call, and where the test command puts what it builds. */
const PATH = `${process.env["PATH"]}:/usr/local/sbin:/usr/sbin:/sbin:${join(import.meta.dir, "../../.cache/bin")}`

export const findProgram = (name: string): string | null => Bun.which(name, { PATH })

export async function run(command: readonly string[], { env = {}, cwd }: RunOptions = {}): Promise<Outcome> {
  const child = Bun.spawn([...command], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, PATH, ...env },
    ...(cwd === undefined ? {} : { cwd }),
  })
  const [stdout, stderr, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ])
  return { code, stdout, stderr }
}

/** What the program prints. Rejects with all it said when it fails. */
export async function output(command: readonly string[], options: RunOptions = {}): Promise<string> {
  const { code, stdout, stderr } = await run(command, options)
  if (code === 0) return stdout
  throw new Error(`${command.join(" ")} failed with ${code}:\n${stderr}${stdout}`)
}

export interface Requirement {
  readonly isMissing: boolean
  /** For the names of what is skipped: empty, or what is missing. */
  readonly note: string
}

/** What a test needs of the machine; "root" is a program of this list, too. */
export function needs(...programs: readonly string[]): Requirement {
  const missing = programs.filter((name) => (name === "root" ? process.getuid?.() !== 0 : findProgram(name) === null))
  const note = missing.length === 0 ? "" : ` (SKIPPED, not on this machine: ${missing.join(", ")})`
  return { isMissing: missing.length > 0, note }
}

/** Polls until `probe` gives something. Rejects with its last failure after `timeoutMs`. */
export async function eventually<Value>(probe: () => Promise<Value | null>, timeoutMs = 15_000): Promise<Value> {
  const deadline = Date.now() + timeoutMs
  for (;;) {
    let failure: unknown = new Error(`Nothing came within ${timeoutMs} ms`)
    try {
      const found = await probe()
      if (found !== null) return found
    } catch (error) {
      failure = error
    }
    if (Date.now() > deadline) throw failure
    await Bun.sleep(20)
  }
}

export interface Server {
  /** What the awaited line said. */
  readonly match: RegExpExecArray
  stop(): Promise<void>
}

/** Starts a program that serves; resolves at the line that says it does. Rejects with all it said if it ends before. */
export async function startServer(
  command: readonly string[],
  ready: RegExp,
  { env = {} }: RunOptions = {},
): Promise<Server> {
  const child = Bun.spawn([...command], {
    stdio: ["ignore", "ignore", "pipe"],
    env: { ...process.env, PATH, ...env },
  })
  const { promise, resolve, reject } = Promise.withResolvers<RegExpExecArray>()
  void readAll(child.stderr, (text) => {
    const match = ready.exec(text)
    if (match !== null) resolve(match)
  }).then((text) => reject(new Error(`${command.join(" ")} has ended:\n${text}`)))
  const stop = async () => {
    child.kill()
    await child.exited
  }
  return { match: await promise, stop }
}

/** Reads to the end, so that the writer never waits; what came so far is shown at every step. */
async function readAll(stream: ReadableStream<Uint8Array>, step: (text: string) => void): Promise<string> {
  const decoder = new TextDecoder()
  let text = ""
  for await (const chunk of stream) {
    text = (text + decoder.decode(chunk, { stream: true })).slice(-100_000)
    step(text)
  }
  return text
}
