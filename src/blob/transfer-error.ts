import { errorText } from "../telemetry/log.ts"

/** The source sent more than the blob has: it cannot be the blob. */
export class OverlongError extends Error {
  override readonly name = "OverlongError"
}

/** The disk's fault, not the source's: asking another source would not help. */
export class SpoolError extends Error {
  override readonly name = "SpoolError"

  constructor(cause: unknown) {
    super(errorText(cause), { cause })
  }
}

/** A transfer ended because nobody reads it any more, which says nothing about its sources. */
export const isAbandonment = (error: unknown): boolean => error instanceof DOMException && error.name === "AbortError"
