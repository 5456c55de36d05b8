import { findClosest } from "../lib/closest.ts"
import type { Logger } from "../telemetry/log.ts"
import type { LogLevel } from "../telemetry/log-level.ts"
import type { Tuning } from "../tuning.ts"

/** What a command may use of the process that it runs in. */
export interface CommandIO {
  readonly out: (text: string) => void
  readonly err: (text: string) => void
  readonly log: Logger
  /** Of `log`. */
  readonly level: LogLevel
  readonly tuning: Tuning
  /** Failures that nobody has expected. */
  readonly strays: { readonly count: number }
  /** Aborted when the process is asked to end; aborted again means at once. */
  readonly shutdown: ShutdownSignals
}

export interface ShutdownSignals {
  /** Aborted by the first SIGTERM or SIGINT. */
  readonly gentle: AbortSignal
  /** Aborted by the second. */
  readonly forced: AbortSignal
}

/** A command with its arguments; gives the exit code. */
export type Command = (args: readonly string[], io: CommandIO) => Promise<number>

/** Wrong usage, answered with the message and exit code 2. */
export class UsageError extends Error {
  override readonly name = "UsageError"
}

/** For a command that is none, or that is missing; `parent` is the command that it stands under. */
export function unknownCommand(name: string | undefined, known: readonly string[], parent = ""): UsageError {
  const full = known.map((one) => `${parent}${one}`)
  if (name === undefined) return new UsageError(`missing command: ${full.join(" or ")}; see "registry-facade help"`)
  const closest = findClosest(name, known)
  const hint = closest === null ? `known are ${full.join(", ")}` : `did you mean "${parent}${closest}"?`
  return new UsageError(`unknown command ${JSON.stringify(parent + name)}, ${hint}`)
}
