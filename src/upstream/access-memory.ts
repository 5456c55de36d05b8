import { LRUCache } from "lru-cache"
import { LoginMemory } from "./login-memory.ts"
import type { Endpoint } from "./registry-client.ts"
import type { Token } from "./token.ts"

/** What registries have let their clients know and have given them, for the clients of one configuration after the other. */
export class AccessMemory {
  readonly tokens = new LRUCache<string, Token>({ max: 10_000 })
  readonly #logins = new LRUCache<string, LoginMemory>({ max: 1000 })

  loginsOf({ baseURL, mirrorOf, realms }: Endpoint): LoginMemory {
    const key = [baseURL.href, mirrorOf ?? "", ...realms].join(" ") // what was refused may be allowed by other realms
    const known = this.#logins.get(key) ?? new LoginMemory()
    this.#logins.set(key, known)
    return known
  }
}
