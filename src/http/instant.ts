/** An answer that is known to its last byte before it is asked for. */
export interface InstantAnswer {
  readonly bytes: Uint8Array<ArrayBuffer>
  /** With its Content-Length. */
  readonly headers: Headers
  /** Of the request, as the log shows it. */
  readonly path: string
}

/**
 * What is asked for again and again. Such requests go past all that others go through, which takes several times as long as
 * to send a small file.
 */
export interface InstantAnswers {
  /** Null: the request has to be looked at as any other. */
  find(request: Request): InstantAnswer | null
  /** Told of each that was sent, and how long it took. */
  sent(seconds: number): void
}
