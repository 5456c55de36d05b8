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

  /** `max`: logins that are remembered; beyond, the one that was used longest ago is forgotten. */
  constructor(max: number) {
    this.#known = new LRUCache({ max })
  }

  /** What stands for a login. No part holds a NUL: neither headers nor hashes can. */
  fingerprint({ user, password, hash }: Login): string {
    return this.#hasher(user, hash).update(password).digest("base64")
  }

  /** Short, whatever somebody sends as a name. */
  pseudonym(...parts: readonly string[]): string {
    return this.#hasher(...parts).digest("base64")
  }

  has(fingerprint: string): boolean {
    return this.#known.get(fingerprint) === true
  }

  add(fingerprint: string): void {
    this.#known.set(fingerprint, true)
  }

  clear(): void {
    this.#known.clear()
  }

  #hasher(...parts: readonly string[]): Bun.CryptoHasher {
    const hasher = new Bun.CryptoHasher("sha256", this.#key)
    for (const part of parts) hasher.update(part).update("\0")
    return hasher
  }
}
