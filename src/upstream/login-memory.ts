import { LRUCache } from "lru-cache"
import type { RegistryError } from "../oci/error.ts"
import type { Repository } from "../oci/reference.ts"
import type { Login } from "./login.ts"

/** Why a credential was refused, told of whatever is asked for next. */
export type TellRefusal = (asked: { readonly what: string; readonly repository: Repository }) => RegistryError

/** What one registry has let its clients know about logins. It holds fingerprints of credentials, and no secrets. */
export class LoginMemory {
  /** How repositories want to be asked: a registry may have a token server for each. */
  readonly #logins = new LRUCache<string, Login>({ max: 1000 })
  /** What was learnt last, for repositories that nothing is known of. */
  #latest: Login | null = null
  readonly refused = new LRUCache<string, { readonly tell: TellRefusal; readonly until: number }>({ max: 1000 })
  /** When a credential was last good enough for a repository. */
  readonly accepted = new LRUCache<string, number>({ max: 1000 })

  /** Null: nothing is known yet. */
  loginOf({ path }: Repository): Login | null {
    const login = this.#logins.get(path) ?? this.#latest
    if (login !== null) this.#logins.set(path, login)
    return login
  }

  learn({ path }: Repository, login: Login): void {
    this.#logins.set(path, login)
    this.#latest = login
  }
}
