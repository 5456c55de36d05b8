import { ADDRESS_CLASSES, type AddressClass, classifyAddress, reachesNoFurther } from "./address-class.ts"
import type { Dialer } from "./dialer.ts"
import { EgressError, type EgressRequest } from "./egress.ts"

/** A request, as far as it matters here. */
type Wanted = Pick<EgressRequest, "url" | "via" | "limit">

export interface GuardOptions {
  readonly dialer: Dialer
  /** Hosts (with port, if any) that an operator has named: they may be anywhere. */
  readonly isNamed: (host: string) => boolean
}

/**
 * Decides which addresses a request may go to. Names are judged by what they resolve to, and that is what is connected
 * to, so that no answer of DNS can be swapped in between. No request gets closer to ourselves than its limit, and none to
 * addresses that are special in other ways, such as those of a cloud's metadata, unless an operator has named the host.
 * Where somebody else sends us (`via`), they may not send us closer than they are: nobody in public reaches into a
 * private network through us.
 */
export class Guard {
  readonly #options: GuardOptions

  constructor(options: GuardOptions) {
    this.#options = options
  }

  /** The addresses that may be used, at least one. Rejects with EgressError. */
  async addresses({ url, via = null, limit = "loopback" }: Wanted, signal: AbortSignal): Promise<readonly string[]> {
    checkScheme(url)
    const { dialer, isNamed } = this.#options
    const found = await dialer.resolve(url, signal)
    if (isNamed(url.host)) return found
    const allowed = via === null ? limit : await this.#limitOf(via, limit, signal)
    const usable = found.filter((address) => reachesNoFurther(classifyAddress(address), allowed))
    if (usable.length > 0) return usable
    const sender = via === null ? "" : `, where ${via.host} sends us,`
    throw new EgressError("denied", `${url.host}${sender} is not in public; name it in "upstreams" if it is meant`)
  }

  /** Where a host may send us: no closer than it is itself by any of its addresses; a named one is trusted with that. */
  async #limitOf(via: URL, limit: AddressClass, signal: AbortSignal): Promise<AddressClass> {
    const classes = (await this.#addressesOf(via, signal)).map(classifyAddress)
    const own = ADDRESS_CLASSES.find((candidate) => classes.includes(candidate)) ?? "public"
    return this.#options.isNamed(via.host) ? own : smaller(limit, own)
  }

  /** None where only a proxy knows the name: then the sender counts as one in public. */
  async #addressesOf(via: URL, signal: AbortSignal): Promise<readonly string[]> {
    return await this.#options.dialer.resolve(via, signal).catch((error) => {
      signal.throwIfAborted()
      if (error instanceof EgressError && error.fault === "network") return []
      throw error
    })
  }
}

const smaller = (one: AddressClass, other: AddressClass): AddressClass =>
  ADDRESS_CLASSES.indexOf(one) < ADDRESS_CLASSES.indexOf(other) ? one : other

function checkScheme(url: URL): void {
  if (url.protocol === "http:" || url.protocol === "https:") return
  throw new EgressError("denied", `a ${url.protocol.slice(0, 20)} URL is neither http nor https`)
}
