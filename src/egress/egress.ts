import type { AddressClass } from "./address-class.ts"

export interface EgressRequest {
  readonly method: "GET" | "HEAD" | "POST" | "DELETE"
  readonly url: URL
  /** Sent once, and it may hold secrets, so no redirect of it is followed. */
  readonly body?: ReadableStream<Uint8Array<ArrayBuffer>> | string | null
  readonly headers?: Readonly<Record<string, string>>
  /** Value of Authorization. Goes to the origin of `url` and nowhere else, wherever redirects lead. */
  readonly authorization?: string | null
  /** Who has sent us there, for what was not asked for by an operator or a spec: a redirect, a token server. */
  readonly via?: URL | null
  /** How close to ourselves hosts may be that no operator has named; absent: as close as an operator's word allows. */
  readonly limit?: AddressClass
}

export interface EgressResponse {
  readonly status: number
  readonly headers: Headers
  /** Where the answer came from, after redirects. */
  readonly url: URL
  /** True when another origin than the one asked has answered. */
  readonly isRedirected: boolean
  /** Errors with EgressError when the peer stops sending. The caller reads it to the end or cancels it; null for HEAD. */
  readonly body: ReadableStream<Uint8Array<ArrayBuffer>> | null
}

/**
 * The one way out of this process. Redirects are followed, content is never decoded, and silence has deadlines.
 * Rejects with EgressError, or with the signal's reason.
 */
export type Egress = (request: EgressRequest, signal: AbortSignal) => Promise<EgressResponse>

/**
 * - `denied`: a rule of ours forbids it; asking again will not help.
 * - `network`: no connection, or it broke.
 * - `silent`: a deadline passed.
 * - `tls`: the peer could not prove who it is.
 * - `answer`: the peer's answer breaks the protocol.
 * - `busy`: the peer has asked to be left alone for a while.
 */
export type EgressFault = "denied" | "network" | "silent" | "tls" | "answer" | "busy"

export interface EgressErrorOptions extends ErrorOptions {
  /** Asking again before this makes no sense. */
  readonly askedMs?: number
}

/** A request that got no answer worth reading. The message names the host and holds no secret. */
export class EgressError extends Error {
  override readonly name = "EgressError"
  readonly fault: EgressFault
  readonly askedMs: number

  constructor(fault: EgressFault, message: string, options: EgressErrorOptions = {}) {
    super(message, options)
    this.fault = fault
    this.askedMs = options.askedMs ?? 0
  }
}
