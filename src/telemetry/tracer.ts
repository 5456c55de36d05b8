export type Attributes = Readonly<Record<string, string | number | boolean>>

export interface Span {
  set(attributes: Attributes): void
  /** Keeps the span open after its work, until what is given back is called, with what went wrong, if anything did. */
  hold(): (error: unknown) => void
  /** Headers that tell a peer which span its own belong to (W3C Trace Context); none where it is not recorded. */
  readonly headers: Readonly<Record<string, string>>
}

export interface SpanOptions {
  readonly kind: "server" | "client" | "internal"
  readonly attributes: Attributes
  /** Of the request that the span answers: its span becomes the parent. Null: the span that runs now is. */
  readonly incoming?: Headers | null
}

/** Records who waited for what, and how long. It never fails what it watches, and never keeps it waiting. */
export interface Tracer {
  /** Runs `work` as a span: spans that begin inside belong to it. A rejection is recorded, ends it, and is passed on. */
  span<Result>(name: string, options: SpanOptions, work: (span: Span) => Promise<Result>): Promise<Result>
  /** Sends what is left, for a moment at most. */
  close(): Promise<void>
}

const UNRECORDED: Span = { set: () => {}, hold: () => () => {}, headers: {} }

/** For processes without tracing. */
export const untraced: Tracer = {
  span: async (_name, _options, work) => await work(UNRECORDED),
  close: async () => {},
}
