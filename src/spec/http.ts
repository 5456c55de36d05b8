import { readRetryAfter } from "../egress/answer.ts"
import { type Egress, EgressError } from "../egress/egress.ts"
import type { Clock } from "../lib/clock.ts"
import { inTime } from "../lib/in-time.ts"
import { redactUrl } from "../lib/redact.ts"
import { readText } from "../lib/stream.ts"
import { RegistryError, type RegistryErrorOptions } from "../oci/error.ts"
import { parseSpec, SpecError } from "./parse.ts"
import type { ImageSpec } from "./spec.ts"
import { MAX_SPEC_BYTES, type SpecSource, UNREACHABLE } from "./spec-source.ts"

export interface HttpSpecOptions {
  /** With {id} where the name stands. */
  readonly url: string
  readonly egress: Egress
  readonly clock: Clock
  /** From the question to the last byte of the answer. */
  readonly patienceMs: number
}

/** Specs as JSON from a web server: 200 is an ImageSpec, 404 and 410 are an unknown name. */
export class HttpSpecSource implements SpecSource {
  readonly origin: string
  readonly #options: HttpSpecOptions

  constructor(options: HttpSpecOptions) {
    this.#options = options
    this.origin = `http ${redactUrl(options.url.replaceAll("{id}", "ID"))}`
  }

  async lookup(name: string, signal: AbortSignal): Promise<ImageSpec | null> {
    const patience = new AbortController()
    const what = `Cannot get the spec of ${name} from ${this.origin}`
    const late = () => {
      const error = unreachable(`${what}: no answer in time`, { retryAfterSeconds: 2, culprit: this.origin })
      patience.abort(error)
      return error
    }
    try {
      return await inTime(this.#get(what, name, AbortSignal.any([signal, patience.signal])), this.#options, late)
    } catch (error) {
      signal.throwIfAborted()
      throw told(what, this.origin, error)
    }
  }

  close(): void {}

  async #get(what: string, name: string, signal: AbortSignal): Promise<ImageSpec | null> {
    const url = new URL(this.#options.url.replaceAll("{id}", encodeURIComponent(name)))
    const headers = { accept: "application/json" }
    const answer = await this.#options.egress({ method: "GET", url, headers }, signal)
    if (answer.status !== 200 || answer.body === null) {
      await answer.body?.cancel()
      if (answer.status === 404 || answer.status === 410) return null
      const retryAfterSeconds = readRetryAfter(answer.headers) ?? 2
      const message = `${what}: ${answer.url.host} answered ${answer.status}`
      throw new RegistryError("UNAVAILABLE", message, { retryAfterSeconds, culprit: this.origin })
    }
    return parseSpec(parsed(await readText(answer.body, MAX_SPEC_BYTES)), null)
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new TypeError("its answer is no JSON", { cause })
  }
}

function told(what: string, culprit: string, cause: unknown): Error {
  if (cause instanceof RegistryError) return cause
  if (cause instanceof RangeError)
    return new RegistryError("MANIFEST_INVALID", `${what}: it has more than ${MAX_SPEC_BYTES} bytes`, {
      detail: "spec",
    })
  if (cause instanceof SpecError || cause instanceof TypeError)
    return new RegistryError("MANIFEST_INVALID", `${what}: ${cause.message}`, { detail: "spec", cause })
  if (!(cause instanceof EgressError)) return cause instanceof Error ? cause : new Error(String(cause))
  const wait = { retryAfterSeconds: Math.max(2, Math.ceil(cause.askedMs / 1000)), culprit }
  return unreachable(`${what}: ${cause.message}`, { ...wait, cause })
}

const unreachable = (message: string, options: RegistryErrorOptions): RegistryError =>
  new RegistryError("UNAVAILABLE", message, { ...options, detail: UNREACHABLE })
