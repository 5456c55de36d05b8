import type { Authenticator } from "../auth/auth.ts"
import { verifyBcrypt } from "../auth/bcrypt.ts"
import { parseHtpasswd, type Users } from "../auth/htpasswd.ts"
import { HtpasswdAuthenticator } from "../auth/htpasswd-authenticator.ts"
import type { AuthConfig, RegistryConfig } from "../config/load.ts"
import { isLoopbackHost } from "../lib/loopback.ts"
import { WatchedFile } from "../lib/watched-file.ts"
import type { Prepared } from "./prepared.ts"
import type { Tools } from "./tools.ts"

type LoginConfig = Pick<RegistryConfig, "auth" | "host" | "tls">

interface State {
  readonly authenticator: Authenticator | null
  readonly isPrivate: boolean
  close(): void
}

/** Who may pull, as it is configured now. */
export class CurrentLogin {
  readonly #tools: Tools
  #state: State

  private constructor(tools: Tools, state: State) {
    this.#tools = tools
    this.#state = state
  }

  /** Rejects when the file of users cannot be used. */
  static async open(config: LoginConfig, tools: Tools): Promise<CurrentLogin> {
    return new CurrentLogin(tools, await openState(config, tools))
  }

  /** Null: everybody may pull. */
  get authenticator(): Authenticator | null {
    return this.#state.authenticator
  }

  /** True: not everybody may, so that shared caches must not keep answers. */
  get isPrivate(): boolean {
    return this.#state.isPrivate
  }

  /** Rejects, and nothing has changed, when the file of users cannot be used. */
  async prepare(config: LoginConfig): Promise<Prepared> {
    const next = await openState(config, this.#tools)
    const apply = () => {
      this.#state.close()
      this.#state = next
    }
    return { apply, discard: () => next.close() }
  }

  close(): void {
    this.#state.close()
  }
}

async function openState({ auth, host, tls }: LoginConfig, tools: Tools): Promise<State> {
  const asksForCertificates = tls !== null && tls.clientCA !== null
  if (auth === null) return { authenticator: null, isPrivate: asksForCertificates, close: () => {} }
  const { log, metrics, tuning } = tools
  const file = await watchUsers(auth, tools)
  if (tls === null && !isLoopbackHost(host)) log.warn("passwords come unencrypted, there is no TLS", { host })
  const users = async () => await file.current()
  const options = { users, verify: verifyBcrypt, limits: tuning.auth, clock: tuning.clock, log, metrics }
  return { authenticator: new HtpasswdAuthenticator(options), isPrivate: true, close: () => file.close() }
}

async function watchUsers(
  { htpasswd: path }: AuthConfig,
  { log, metrics, tuning }: Tools,
): Promise<WatchedFile<Users>> {
  return await WatchedFile.open({
    path,
    clock: tuning.clock,
    parse: (text) => parseHtpasswd(path, text),
    onReload: () => {
      metrics.configReloads.inc({ result: "success" })
      log.info("reloading users after change", { path })
    },
    onFailure: (error) => {
      metrics.configReloads.inc({ result: "failure" })
      log.error("cannot use changed file of users, the old one stays in use", { path, error })
    },
  })
}
