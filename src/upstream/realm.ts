import { getDomain } from "tldts"

/** Token servers that belong to a registry although their names do not show it. */
const KNOWN_REALMS: Readonly<Record<string, readonly string[]>> = {
  "registry-1.docker.io": ["auth.docker.io"],
}

/**
 * True when credentials for `registry` may be sent to the token server that the registry names: the same host, one of
 * the same registrable domain, or one known to belong to it (to us, or by `named`, the hosts that an operator has named
 * for it), and never less protected than the registry itself. Otherwise any registry could have the credentials sent
 * anywhere (CVE-2026-33540, CVE-2026-48978).
 */
export function isTrustedRealm(registry: URL, realm: URL, named: readonly string[]): boolean {
  const isSame = realm.hostname === registry.hostname
  if (realm.protocol === "http:") return isSame && registry.protocol === "http:"
  if (realm.protocol !== "https:") return false
  if (named.includes(realm.host)) return true
  if (isSame || KNOWN_REALMS[registry.hostname]?.includes(realm.hostname) === true) return true
  const domain = registrableDomain(registry)
  return domain !== null && domain === registrableDomain(realm)
}

/** What one party has registered, by the public suffix list; null for addresses and bare names. */
const registrableDomain = ({ hostname }: URL): string | null => getDomain(hostname, { allowPrivateDomains: true })
