/** Codes of distribution-spec "Error Codes", and two of the reference registry's for answers outside 4xx. */
export const STATUS = {
  BLOB_UNKNOWN: 404,
  BLOB_UPLOAD_UNKNOWN: 404,
  DENIED: 403,
  DIGEST_INVALID: 400,
  MANIFEST_INVALID: 400,
  MANIFEST_UNKNOWN: 404,
  NAME_INVALID: 400,
  NAME_UNKNOWN: 404,
  TOOMANYREQUESTS: 429,
  UNAUTHORIZED: 401,
  UNAVAILABLE: 503,
  UNKNOWN: 500,
  UNSUPPORTED: 405,
} as const

export type ErrorCode = keyof typeof STATUS

export interface RegistryErrorOptions extends ErrorOptions {
  /** Replaces the code's usual status, e.g. 502 with DIGEST_INVALID when an upstream's bytes are wrong. */
  readonly status?: number
  /** A word from a closed list for machines, e.g. "upstream_auth". */
  readonly detail?: string
  /** When the client may come back. */
  readonly retryAfterSeconds?: number
  /** How long an upstream has asked to be left alone. */
  readonly askedMs?: number
  /** The host or server that has failed; null or absent: nobody else. */
  readonly culprit?: string | null
}

/** Codes of failures that may be over when asked again. */
const PASSING: ReadonlySet<ErrorCode> = new Set(["UNAVAILABLE", "TOOMANYREQUESTS"])

/** A failure that the client must see; its message is shown to users and holds no secret. Every other error is a bare 500. */
export class RegistryError extends Error {
  override readonly name = "RegistryError"
  readonly code: ErrorCode
  readonly status: number
  readonly detail: string | null
  readonly retryAfterSeconds: number | null
  readonly askedMs: number
  readonly culprit: string | null

  constructor(code: ErrorCode, message: string, options: RegistryErrorOptions = {}) {
    super(message, options)
    this.code = code
    this.status = options.status ?? STATUS[code]
    this.detail = options.detail ?? null
    this.retryAfterSeconds = options.retryAfterSeconds ?? null
    this.askedMs = options.askedMs ?? 0
    this.culprit = options.culprit ?? null
  }

  /** False when asking again gives the same answer: a certificate does not become valid by waiting. */
  get mayPass(): boolean {
    return PASSING.has(this.code) && this.detail !== "upstream_tls"
  }
}

/** Who is to blame for a failure that others will meet too, until it is over; null: it concerns one request alone. */
export const passingCulprit = (error: unknown): string | null =>
  error instanceof RegistryError && error.mayPass ? error.culprit : null
