import { LRUCache } from "lru-cache"

export interface Login {
  readonly user: string
  readonly password: Uint8Array
  readonly hash: string
}

/**
 * Logins that were right, under hashes with a key that only this process has (HMAC-SHA-256): what is in memory tells no
 * password, and finding it takes the same time for every guess. A user's new hash makes all that is known of the old one useless.
 */
export class KnownLogins {
  readonly #key = crypto.getRandomValues(new Uint8Array(32))
  readonly #known: LRUCache<string, true>
  readonly #from: LRUCache<string, true>

  /** How many logins are remembered, and of how many clients; beyond, the one that was used longest ago is forgotten. */
  constructor({ logins, clients }: { readonly logins: number; readonly clients: number }) {
    this.#known = new LRUCache({ max: logins })
    this.#from = new LRUCache({ max: clients })
  }

  /** What stands for a login. No part holds a NUL: neither headers nor hashes can. */
  fingerprint({ user, password, hash }: Login): string {
    return this.#hasher(user, hash).update(password).digest("base64")
  }

  /** Short, whatever somebody sends as a name. */
  pseudonym(...parts: readonly string[]): string {
    return this.#hasher(...parts).digest("base64")
  }

  /** Whether this login was right, whoever has sent it. */
  has(fingerprint: string): boolean {
    return this.#known.get(fingerprint) === true
  }

  /** Whether this client has sent it, and it was right. */
  hasFrom(client: string, fingerprint: string): boolean {
    return this.#from.get(`${fingerprint} ${client}`) === true
  }

  add(client: string, fingerprint: string): void {
    this.#known.set(fingerprint, true)
    this.#from.set(`${fingerprint} ${client}`, true)
  }

  clear(): void {
    this.#known.clear()
    this.#from.clear()
  }

  #hasher(...parts: readonly string[]): Bun.CryptoHasher {
    const hasher = new Bun.CryptoHasher("sha256", this.#key)
    for (const part of parts) hasher.update(part).update("\0")
    return hasher
  }
}
