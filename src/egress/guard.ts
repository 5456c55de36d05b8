import { ADDRESS_CLASSES, type AddressClass, classifyAddress, reachesNoFurther } from "./address-class.ts"
import type { Dialer } from "./dialer.ts"
import { EgressError } from "./egress.ts"

export interface GuardOptions {
  readonly dialer: Dialer
  /** Hosts (with port, if any) that an operator has named: they may be anywhere. */
  readonly isNamed: (host: string) => boolean
  /** Where hosts may be that are asked for by name: anywhere for what an operator writes, in public for what others do. */
  readonly limit: AddressClass
}

/**
 * Decides which addresses a request may go to. Names are judged by what they resolve to, and that is what is connected
 * to, so that no answer of DNS can be swapped in between. Where somebody else sends us (`via`), they may not send us
 * closer to ourselves than they are: nobody in public reaches into a private network through us.
 */
export class Guard {
  readonly #options: GuardOptions

  constructor(options: GuardOptions) {
    this.#options = options
  }

  /** The addresses that may be used, at least one. Rejects with EgressError. */
  async addresses(url: URL, via: URL | null, signal: AbortSignal): Promise<readonly string[]> {
    checkScheme(url)
    const { dialer, isNamed, limit } = this.#options
    const found = await dialer.resolve(url, signal)
    if (isNamed(url.host)) return found
    const allowed = via === null ? limit : smaller(limit, await this.#classOf(via, signal))
    const usable = found.filter((address) => isWithin(classifyAddress(address), allowed, via))
    if (usable.length > 0) return usable
    const sender = via === null ? "" : `, where ${via.host} sends us,`
    throw new EgressError("denied", `${url.host}${sender} is not in public; name it in "upstreams" if it is meant`)
  }

  async #classOf(url: URL, signal: AbortSignal): Promise<AddressClass> {
    const classes = (await this.#options.dialer.resolve(url, signal)).map(classifyAddress)
    return ADDRESS_CLASSES.findLast((candidate) => classes.includes(candidate)) ?? "public"
  }
}

/** An operator who writes down an address has looked at it; whoever sends us somewhere has not. */
const isWithin = (found: AddressClass, limit: AddressClass, via: URL | null): boolean =>
  via === null && limit === "forbidden" ? true : reachesNoFurther(found, limit)

const smaller = (one: AddressClass, other: AddressClass): AddressClass =>
  ADDRESS_CLASSES.indexOf(one) < ADDRESS_CLASSES.indexOf(other) ? one : other

function checkScheme(url: URL): void {
  if (url.protocol === "http:" || url.protocol === "https:") return
  throw new EgressError("denied", `a ${url.protocol.slice(0, 20)} URL is neither http nor https`)
}
