import { LEVELS, type Level } from "./log.ts"

/** What is logged, while the process runs and may change its mind. */
export interface LogLevel {
  current: Level
}

/** Names of the original's logging library, which knew more levels. */
const OTHER_NAMES: Readonly<Record<string, Level>> = {
  trace: "debug",
  warning: "warn",
  fatal: "error",
  panic: "error",
}

/** Null: there is no such level. */
export function parseLevel(text: string): Level | null {
  const name = text.trim().toLowerCase()
  return (
    LEVELS.find((level) => level === name) ?? (Object.hasOwn(OTHER_NAMES, name) ? (OTHER_NAMES[name] ?? null) : null)
  )
}

/** As it stands in log lines. */
export const levelName = (level: Level): string => (level === "warn" ? "warning" : level)
