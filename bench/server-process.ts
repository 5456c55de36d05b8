import { openSync, readFileSync, writeFileSync } from "node:fs"
import { findProgram } from "../test/helpers/programs.ts"

/** A server that is measured from outside, through /proc. */
export interface ServerProcess {
  readonly url: string
  /** From the start of the process to its first answer. */
  readonly startMs: number
  /** Of the process and its children, since they began; in steps of 10 ms. */
  cpuSeconds(): number
  residentBytes(): number
  /** The most since the start, or since `resetPeak`. */
  peakBytes(): number
  resetPeak(): void
  stop(): Promise<void>
}

export interface StartOptions {
  readonly command: readonly string[]
  readonly port: number
  /** A path that is answered as soon as the server serves. */
  readonly ready: string
  /** Takes what the server writes to stdout and stderr. */
  readonly log: string
  readonly env?: Readonly<Record<string, string>>
}

const running = new Set<Bun.Subprocess>()
process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL")
})

const TICKS_PER_SECOND = 100
const START_TIMEOUT_MS = 20_000

/** Rejects with what the server has written when it does not answer. */
export async function startServer({ command, port, ready, log, env = {} }: StartOptions): Promise<ServerProcess> {
  const [name = "", ...args] = command
  const file = openSync(log, "a")
  const startedAt = performance.now()
  const child = Bun.spawn([findProgram(name) ?? name, ...args], {
    stdio: ["ignore", file, file],
    env: { ...process.env, ...env },
  })
  running.add(child)
  const url = `http://127.0.0.1:${port}`
  await firstAnswer(child, `${url}${ready}`, log)
  const startMs = performance.now() - startedAt
  const family = () => [child.pid, ...childrenOf(child.pid)]
  const sum = (read: (pid: number) => number) => family().reduce((total, pid) => total + read(pid), 0)
  return {
    url,
    startMs,
    cpuSeconds: () => sum(cpuSeconds),
    residentBytes: () => sum((pid) => statusBytes(pid, "VmRSS")),
    peakBytes: () => sum((pid) => statusBytes(pid, "VmHWM")),
    resetPeak: () => {
      for (const pid of family()) writeFileSync(`/proc/${pid}/clear_refs`, "5") // proc(5)
    },
    stop: async () => await stop(child),
  }
}

async function firstAnswer(child: Bun.Subprocess, url: string, log: string): Promise<void> {
  const deadline = performance.now() + START_TIMEOUT_MS
  for (;;) {
    const status = await fetch(url).then(
      async (answer) => {
        await answer.arrayBuffer()
        return answer.status
      },
      () => 0,
    )
    if (status === 200) return
    if (child.exitCode !== null || performance.now() > deadline) {
      throw new Error(`Cannot measure ${url}: it does not answer (last status ${status})\n${readFileSync(log, "utf8")}`)
    }
    await Bun.sleep(1)
  }
}

async function stop(child: Bun.Subprocess): Promise<void> {
  child.kill()
  const timer = setTimeout(() => child.kill("SIGKILL"), 5000)
  await child.exited
  clearTimeout(timer)
  running.delete(child)
}

const childrenOf = (pid: number): readonly number[] =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").filter(Boolean).map(Number)

/** proc(5), /proc/pid/stat: utime and stime are the 14th and 15th field; the second may hold spaces. */
function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8")
    .replace(/^.*\) /s, "")
    .split(" ")
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND
}

function statusBytes(pid: number, key: string): number {
  const kilobytes = new RegExp(`^${key}:\\s+(\\d+) kB`, "m").exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]
  return Number(kilobytes ?? 0) * 1024
}
