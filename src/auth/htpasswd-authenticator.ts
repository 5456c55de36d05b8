import type { Clock } from "../lib/clock.ts"
import { RegistryError } from "../oci/error.ts"
import type { Logger } from "../telemetry/log.ts"
import type { Metrics } from "../telemetry/metrics.ts"
import type { Authenticator } from "./auth.ts"
import { parseBasic } from "./basic.ts"
import { type CheckLimits, limitedVerify, type VerifyPassword } from "./bcrypt.ts"
import { FailureLimit } from "./failure-limit.ts"
import type { Users } from "./htpasswd.ts"
import { KnownLogins, type Login } from "./known-logins.ts"
import { clientNetwork } from "./network.ts"

export interface AuthLimits {
  readonly checks: CheckLimits
  /** Wrong passwords in one window, after which nothing more is tried: of one client for one user, and of one client. */
  readonly failuresPerUser: number
  readonly failuresPerClient: number
  readonly windowMs: number
  /** Clients whose failures are remembered, and logins of clients that were right. */
  readonly clients: number
  /** Logins that are remembered as right. */
  readonly logins: number
}

export interface HtpasswdAuthenticatorOptions {
  /** Asked for every request, so that a changed file counts at once. */
  readonly users: () => Promise<Users>
  readonly verify: VerifyPassword
  readonly limits: AuthLimits
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: Metrics
}

/** What is known of an attempt before its password is. */
interface Attempt {
  readonly login: Login
  /** The name, where there is such a user. */
  readonly known: string | null
  readonly client: string
  readonly fingerprint: string
  /** Of this client's attempts for this user. */
  readonly pair: string
}

/** Users in a file of Apache's htpasswd(1), who send their password with every request (RFC 7617). */
export class HtpasswdAuthenticator implements Authenticator {
  readonly #options: HtpasswdAuthenticatorOptions
  readonly #verify: VerifyPassword
  readonly #perUser: FailureLimit
  readonly #perClient: FailureLimit
  readonly #logins: KnownLogins
  readonly #running = new Map<string, Promise<boolean>>()
  #users: Users | null = null

  constructor(options: HtpasswdAuthenticatorOptions) {
    const { clock, limits, verify } = options
    const { failuresPerClient, failuresPerUser, windowMs, clients: keys } = limits
    this.#options = options
    this.#verify = limitedVerify(verify, limits.checks)
    this.#perUser = new FailureLimit({ failures: failuresPerUser, windowMs, keys, clock })
    this.#perClient = new FailureLimit({ failures: failuresPerClient, windowMs, keys, clock })
    this.#logins = new KnownLogins(limits)
  }

  async authenticate(authorization: string | null, address: string | null): Promise<string> {
    const credentials = parseBasic(authorization)
    // Some clients without a login send an empty name, which nobody has: that is no guess
    if (credentials === null || credentials.user === "")
      throw new RegistryError("UNAUTHORIZED", "This registry asks for a user and a password")
    const users = await this.#currentUsers()
    const { password, user } = credentials
    // A name that nobody has costs as much as one that somebody has: it is checked against somebody's hash
    const login = { user, password, hash: users.get(user) ?? this.#anyHash(users, user) }
    const client = clientNetwork(address)
    const fingerprint = this.#logins.fingerprint(login)
    const pair = this.#logins.pseudonym(client, user)
    const attempt = { login, known: users.has(user) ? user : null, client, fingerprint, pair }
    // Who has logged in from there before stays in, whatever others send from behind the same address
    if (this.#logins.hasFrom(client, fingerprint)) return this.#accept(user)
    // Before what is known from elsewhere, or guesses at whoever has logged in anywhere would be told apart at no cost
    this.#limit(this.#perUser.waitMs(pair))
    if (!this.#logins.has(fingerprint)) {
      this.#limit(this.#perClient.waitMs(client))
      if (!(await this.#checkOnce(attempt))) throw this.#refuse()
    }
    this.#logins.add(client, fingerprint)
    return this.#accept(user)
  }

  #refuse(): RegistryError {
    this.#options.metrics.authRequests.inc({ outcome: "refused" })
    return new RegistryError("UNAUTHORIZED", "Wrong user or password")
  }

  async #currentUsers(): Promise<Users> {
    const users = await this.#options.users()
    if (users !== this.#users) this.#logins.clear()
    this.#users = users
    return users
  }

  /** The same one every time, so that names that nobody has are as different as those that somebody has. */
  #anyHash(users: Users, name: string): string {
    const place = Buffer.from(this.#logins.pseudonym(name), "base64").readUInt32LE() % users.size
    return [...users.values()][place] ?? ""
  }

  #accept(user: string): string {
    this.#options.metrics.authRequests.inc({ outcome: "accepted" })
    return user
  }

  #limit(waitMs: number): void {
    if (waitMs === 0) return
    this.#options.metrics.authRequests.inc({ outcome: "limited" })
    throw new RegistryError(
      "TOOMANYREQUESTS",
      "Too many wrong passwords have come from this address, try again later",
      {
        retryAfterSeconds: waitMs / 1000,
      },
    )
  }

  /** A client that pulls sends the same credentials many times at once: they are checked once, and count once. */
  async #checkOnce(attempt: Attempt): Promise<boolean> {
    const key = `${attempt.fingerprint} ${attempt.client}`
    const running = this.#running.get(key)
    if (running !== undefined) return await running
    const check = this.#check(attempt).finally(() => this.#running.delete(key))
    this.#running.set(key, check)
    return await check
  }

  async #check({ client, known, login, pair }: Attempt): Promise<boolean> {
    const takeBack = [this.#perUser.add(pair), this.#perClient.add(client)]
    const isRight = await this.#verify(login.password, login.hash).catch((error) => {
      for (const take of takeBack) take()
      throw error
    })
    if (isRight && known !== null) {
      for (const take of takeBack) take()
      return true
    }
    this.#options.log.warn("login refused", { client, ...(known === null ? {} : { user: known }) })
    return false
  }
}
