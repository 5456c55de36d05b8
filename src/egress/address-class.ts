import ipaddr from "ipaddr.js"

/** How far an address reaches, from everywhere to nowhere one should go unasked. */
export const ADDRESS_CLASSES = ["public", "private", "loopback", "forbidden"] as const
export type AddressClass = (typeof ADDRESS_CLASSES)[number]

const CLASS_OF_RANGE: Readonly<Record<string, AddressClass>> = {
  unicast: "public",
  private: "private",
  uniqueLocal: "private",
  carrierGradeNat: "private",
  loopback: "loopback",
}

/** Addresses of IPv6 that hold one of IPv4, which is what counts. */
const HOLDS_IPV4: ReadonlySet<string> = new Set(["ipv4Mapped", "rfc6145", "rfc6052", "6to4"])

/** The class of an IP address; what is neither, or special in any other way (link-local, multicast...), is forbidden. */
export function classifyAddress(text: string): AddressClass {
  if (!ipaddr.isValid(text)) return "forbidden"
  const address = ipaddr.parse(text)
  const range = address.range()
  if (address.kind() === "ipv6" && HOLDS_IPV4.has(range))
    return classifyAddress(embeddedIPv4(address.toByteArray(), range))
  if (address.kind() === "ipv6" && range === "unicast" && !isGlobalUnicast(address.toByteArray())) return "forbidden"
  return CLASS_OF_RANGE[range] ?? "forbidden"
}

/** RFC 4291, 2.4: everything else is not assigned, or an old way to write another address. */
const isGlobalUnicast = ([first = 0]: readonly number[]): boolean => first >> 5 === 1

/** True when an address of class `wanted` is no closer to us than one of class `limit`. */
export const reachesNoFurther = (wanted: AddressClass, limit: AddressClass): boolean =>
  wanted !== "forbidden" && ADDRESS_CLASSES.indexOf(wanted) <= ADDRESS_CLASSES.indexOf(limit)

/** RFC 3056, 2: after the prefix; in all other forms: at the end. */
function embeddedIPv4(bytes: readonly number[], range: string): string {
  const start = range === "6to4" ? 2 : 12
  return bytes.slice(start, start + 4).join(".")
}
