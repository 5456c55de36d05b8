import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { findProgram } from "./programs.ts"
import { tempDir } from "./temp-dir.ts"
import { until } from "./until.ts"

/** What the server says for a name: a spec, or a status of gRPC, after a while. */
export interface SpecAnswer {
  readonly spec?: unknown
  readonly code?: number
  readonly message?: string
  readonly delayMs?: number
}

export interface SpecServerOptions {
  readonly answers?: Readonly<Record<string, SpecAnswer>>
  /** More flags of test/go/specserver. */
  readonly flags?: readonly string[]
  readonly addr?: string
}

export interface SpecServer {
  readonly addr: string
  /** Names that it was asked for, in order. */
  readonly calls: readonly string[]
  /** Calls whose client went away before the answer. */
  readonly left: readonly string[]
  answer(answers: Readonly<Record<string, SpecAnswer>>): void
  /** Resolves when it stands still, with its connections open. */
  freeze(): Promise<void>
  /** SIGCONT lets it go on, SIGTERM lets running calls end, SIGKILL ends it. */
  signal(name: NodeJS.Signals): void
  stop(): Promise<void>
}

export const SPEC_SERVER = "specserver"

/** A server of the original's gRPC service, written in Go with the reference implementation, in its own process. */
export async function startSpecServer({ answers = {}, flags = [], addr }: SpecServerOptions = {}): Promise<SpecServer> {
  const file = join(tempDir(), "answers.json")
  const answer = (all: Readonly<Record<string, SpecAnswer>>) => writeFileSync(file, JSON.stringify(all))
  answer(answers)
  const command = [findProgram(SPEC_SERVER) ?? SPEC_SERVER, "-addr", addr ?? "127.0.0.1:0", "-specs", file, ...flags]
  const child = Bun.spawn(command, { stdio: ["ignore", "ignore", "pipe"] })
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  const calls: string[] = []
  const left: string[] = []
  void eachLine(child.stderr, (line) => {
    const [, verb, rest = ""] = /^(listening on|call|left) "?([^"]*)"?/.exec(line) ?? []
    if (verb === "listening on") resolve(rest)
    if (verb === "call") calls.push(rest)
    if (verb === "left") left.push(rest)
  }).then(() => reject(new Error(`${command.join(" ")} has ended`)))
  return {
    addr: await promise,
    calls,
    left,
    answer,
    freeze: async () => {
      child.kill("SIGSTOP")
      await until(async () => /^State:\s+T/m.test(await Bun.file(`/proc/${child.pid}/status`).text()))
    },
    signal: (name) => child.kill(name),
    stop: async () => {
      child.kill("SIGKILL")
      await child.exited
    },
  }
}

async function eachLine(stream: ReadableStream<Uint8Array>, each: (line: string) => void): Promise<void> {
  const decoder = new TextDecoder()
  let rest = ""
  for await (const chunk of stream) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n")
    rest = lines.pop() ?? ""
    for (const line of lines) each(line)
  }
}
