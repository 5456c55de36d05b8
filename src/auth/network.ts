import ipaddr from "ipaddr.js"

/** Whoever has an IPv6 address usually has all that share its first 64 bits (RFC 6177). */
const PREFIX_BITS = 64

/** What stands for one client: an IPv4 address, or a /64 of IPv6. */
export function clientNetwork(address: string | null): string {
  if (address === null || !ipaddr.isValid(address)) return "unknown"
  const parsed = ipaddr.process(address) // an IPv4 address inside an IPv6 one is an IPv4 address
  if (parsed instanceof ipaddr.IPv4) return parsed.toString()
  return `${ipaddr.IPv6.networkAddressFromCIDR(`${withoutZone(parsed)}/${PREFIX_BITS}`)}/${PREFIX_BITS}`
}

const withoutZone = (address: ipaddr.IPv6): string => address.toString().replace(/%.*$/, "")
