import type { WatchedFile } from "../lib/watched-file.ts"
import type { Repository } from "../oci/reference.ts"
import type { Credential, Keychain } from "../upstream/keychain.ts"

export interface Login {
  readonly username: string
  readonly password: Pick<WatchedFile<string>, "current">
}

/** Users and passwords that the configuration names for hosts; they win over what another keychain has for those. */
export class PasswordKeychain implements Keychain {
  readonly #logins: ReadonlyMap<string, Login>
  readonly #others: Keychain

  constructor(logins: ReadonlyMap<string, Login>, others: Keychain) {
    this.#logins = logins
    this.#others = others
  }

  async find(repository: Repository, signal: AbortSignal): Promise<Credential | null> {
    const login = this.#logins.get(repository.host)
    if (login === undefined) return await this.#others.find(repository, signal)
    return { kind: "password", username: login.username, password: await login.password.current() }
  }

  forget(refused: Credential): void {
    this.#others.forget(refused)
  }
}
