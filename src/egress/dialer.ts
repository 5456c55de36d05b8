import { LRUCache } from "lru-cache"
import type { Clock } from "../lib/clock.ts"
import { inTime } from "../lib/in-time.ts"
import { abortable, SingleFlight } from "../lib/single-flight.ts"
import { EgressError } from "./egress.ts"

export interface DialerOptions {
  readonly clock: Clock
  /** For finding the addresses of a name, and again for reaching one of them. */
  readonly connectMs: number
  /** All addresses of a name. Rejects when it has none. */
  readonly lookup: (hostname: string) => Promise<readonly string[]>
  /** Resolves when a connection could be opened (and was closed again). */
  readonly probe: (address: string, port: number, signal: AbortSignal) => Promise<void>
}

/** How long the addresses of a name are taken as known. */
const KNOWN_MS = 30_000
/** How long an address that could be reached is used without trying it again. */
const GOOD_MS = 5 * 60_000
/** How long one attempt to connect is alone before the next address is tried beside it (RFC 8305, 5). */
const STAGGER_MS = 250
const MAX_NAMES = 1000

interface Known {
  readonly addresses: readonly string[]
  readonly until: number
}

/** Turns names into addresses that can be reached, so that what is checked is what is connected to. */
export class Dialer {
  readonly #options: DialerOptions
  readonly #names = new LRUCache<string, Known>({ max: MAX_NAMES })
  readonly #good = new LRUCache<string, { readonly address: string; readonly until: number }>({ max: MAX_NAMES })
  readonly #lookups = new SingleFlight<string, readonly string[]>()
  readonly #probes = new SingleFlight<string, string>()

  constructor(options: DialerOptions) {
    this.#options = options
  }

  /** All addresses of the host of a URL. Rejects with EgressError. */
  async resolve({ hostname }: URL, signal: AbortSignal): Promise<readonly string[]> {
    const name = hostname.replace(/^\[|\]$/g, "")
    const known = this.#names.get(name)
    if (known !== undefined && known.until > this.#options.clock.now()) return known.addresses
    signal.throwIfAborted()
    return await abortable(this.#lookupInTime(name), signal)
  }

  /** One of the addresses, which accepts connections. Rejects with EgressError when none does in time. */
  async dial(url: URL, addresses: readonly string[], signal: AbortSignal): Promise<string> {
    const [only] = addresses
    if (only === undefined)
      throw new EgressError("network", `${url.hostname} cannot be reached: its name has no address`)
    const good = this.#good.get(url.origin)
    if (good !== undefined && good.until > this.#options.clock.now() && addresses.includes(good.address))
      return good.address
    const address = await this.#probes.run(
      `${url.origin} ${addresses.join()}`,
      (flight) => this.#race(url, addresses, flight),
      signal,
    )
    this.#good.set(url.origin, { address, until: this.#options.clock.now() + GOOD_MS })
    return address
  }

  /** The address did not work after all. */
  forget(url: URL): void {
    this.#good.delete(url.origin)
  }

  /** Nothing ends the system's own question, so whoever asks again waits for the one that is under way. */
  async #lookupInTime(name: string): Promise<readonly string[]> {
    const { clock, connectMs } = this.#options
    const found = this.#lookups.run(name, () => this.#lookup(name), new AbortController().signal)
    return await inTime(found, { clock, patienceMs: connectMs }, () => {
      const waited = `nobody told its address within ${connectMs / 1000} s`
      return new EgressError("silent", `${name} cannot be reached: ${waited}; does this machine's DNS answer?`)
    })
  }

  async #lookup(name: string): Promise<readonly string[]> {
    try {
      const addresses = await this.#options.lookup(name)
      if (addresses.length === 0) throw new TypeError("no answer holds an address")
      this.#names.set(name, { addresses, until: this.#options.clock.now() + KNOWN_MS })
      return addresses
    } catch (cause) {
      throw new EgressError(
        "network",
        `${name} cannot be reached: its name has no address (${codesOf(cause)}); is it spelled right?`,
        {
          cause,
        },
      )
    }
  }

  async #race(url: URL, addresses: readonly string[], signal: AbortSignal): Promise<string> {
    const { clock, connectMs, probe } = this.#options
    const over = new AbortController()
    const timer = AbortSignal.any([signal, over.signal])
    const port = Number(url.port || (url.protocol === "https:" ? 443 : 80))
    const late = clock.sleep(connectMs, timer).then(() => {
      throw new EgressError(
        "silent",
        `${url.host} cannot be reached: no connection within ${connectMs / 1000} s; may this machine connect to it?`,
      )
    })
    const attempts = addresses.map(async (address, place) => {
      await clock.sleep(place * STAGGER_MS, timer)
      await probe(address, port, timer)
      return address
    })
    late.catch(() => {})
    try {
      return await Promise.race([Promise.any(attempts), late])
    } catch (error) {
      signal.throwIfAborted()
      if (error instanceof EgressError) throw error
      throw new EgressError(
        "network",
        `${url.host} cannot be reached: ${codesOf(error)}; does it run, and is the port right?`,
        { cause: error },
      )
    } finally {
      over.abort()
    }
  }
}

/** ECONNREFUSED and the like, each once. */
function codesOf(error: unknown): string {
  const errors = error instanceof AggregateError ? error.errors : [error]
  const codes = errors.map((one) => (one instanceof Error && "code" in one ? String(one.code) : "unknown error"))
  return [...new Set(codes)].join(", ")
}
