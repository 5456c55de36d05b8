import type { Logger } from "../telemetry/log.ts"

/** What a command may use of the process that it runs in. */
export interface CommandIO {
  readonly out: (text: string) => void
  readonly err: (text: string) => void
  readonly log: Logger
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
