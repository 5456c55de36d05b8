import { parseDuration } from "../lib/duration.ts"
import type { RegistrySection } from "./schema.ts"

/** How long upstreams may be silent. Absent: as long as the program finds right. */
export interface TimeoutsConfig {
  readonly connectMs?: number
  readonly firstByteMs?: number
  readonly progressMs?: number
}

export function toTimeouts({ connect, firstByte, progress }: RegistrySection["timeouts"] = {}): TimeoutsConfig {
  return {
    ...(connect === undefined ? {} : { connectMs: parseDuration(connect) }),
    ...(firstByte === undefined ? {} : { firstByteMs: parseDuration(firstByte) }),
    ...(progress === undefined ? {} : { progressMs: parseDuration(progress) }),
  }
}
