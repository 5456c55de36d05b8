import { existsSync, readFileSync } from "node:fs"

export interface SystemCall {
  readonly name: string
  /** With the paths of file descriptors, as in `12</tmp/file>, "bytes"..., 4096`. */
  readonly args: string
  /** NaN: it has not returned. */
  readonly result: number
  /** Lines of the trace, which is in the order of time: when it began and when it returned. */
  readonly start: number
  readonly end: number
}

/** Runs a command whose system calls are written to a file; the process stays the one that was started. */
export const tracing = (file: string, calls: string): readonly string[] => [
  "strace",
  "-D",
  "-f",
  "-y",
  "-qq",
  "-s",
  "256",
  "-e",
  `trace=${calls}`,
  "-e",
  "signal=none",
  "-o",
  file,
]

/** What strace has written so far. Calls of several threads interleave, so one may begin on a line and end on another. */
export function readTrace(file: string): readonly SystemCall[] {
  if (!existsSync(file)) return []
  const begun = new Map<string, { readonly text: string; readonly start: number }>()
  const calls: SystemCall[] = []
  readFileSync(file, "utf8")
    .split("\n")
    .forEach((line, index) => {
      const [, thread = "", rest = ""] = /^(\d+)\s+(.*)$/.exec(line) ?? []
      if (rest.endsWith("<unfinished ...>")) {
        begun.set(thread, { text: rest.slice(0, -"<unfinished ...>".length), start: index })
        return
      }
      const resumed = /^<\.\.\. \w+ resumed>(.*)$/.exec(rest)
      const earlier = resumed === null ? undefined : begun.get(thread)
      const text = resumed === null ? rest : `${earlier?.text ?? ""}${resumed[1]}`
      const call = parseCall(text, earlier?.start ?? index, index)
      if (call !== null) calls.push(call)
    })
  return calls
}

function parseCall(text: string, start: number, end: number): SystemCall | null {
  const [, name, args, result] = /^(\w+)\((.*)\)\s+=\s+(-?\d+)/.exec(text) ?? []
  return name === undefined || args === undefined ? null : { name, args, result: Number(result), start, end }
}
