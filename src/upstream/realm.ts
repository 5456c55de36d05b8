/** Token servers that belong to a registry although their names do not show it. */
const KNOWN_REALMS: Readonly<Record<string, readonly string[]>> = {
  "registry-1.docker.io": ["auth.docker.io"],
}

/**
 * True when credentials for `host` may be sent to the token server that the registry names: the same host, its parent
 * domain, or one known to belong to it, and never less protected than the registry itself. Otherwise any registry could
 * have the credentials sent anywhere (CVE-2026-33540, CVE-2026-48978).
 */
export function isTrustedRealm(host: string, realm: URL): boolean {
  const registry = hostname(host)
  if (realm.protocol !== "https:" && realm.hostname !== registry) return false
  if (realm.hostname === registry || KNOWN_REALMS[registry]?.includes(realm.hostname) === true) return true
  return registry.endsWith(`.${realm.hostname}`) && realm.hostname.includes(".")
}

const hostname = (host: string): string => URL.parse(`http://${host}`)?.hostname ?? host
