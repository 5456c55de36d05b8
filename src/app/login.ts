import type { Authenticator } from "../auth/auth.ts"
import { verifyBcrypt } from "../auth/bcrypt.ts"
import { parseHtpasswd } from "../auth/htpasswd.ts"
import { HtpasswdAuthenticator } from "../auth/htpasswd-authenticator.ts"
import type { RegistryConfig } from "../config/load.ts"
import { WatchedFile } from "../lib/watched-file.ts"
import type { Tools } from "./tools.ts"

export interface OpenLogin {
  /** Null: everybody may pull. */
  readonly authenticator: Authenticator | null
  /** True: not everybody may, so that shared caches must not keep answers. */
  readonly isPrivate: boolean
  close(): void
}

const LOOPBACK = /^(?:localhost|127(?:\.\d{1,3}){3}|::1)$/

/** Who may pull. Rejects when the file of users cannot be used. */
export async function openLogin({ auth, host, tls }: RegistryConfig, tools: Tools): Promise<OpenLogin> {
  const asksForCertificates = tls !== null && tls.clientCA !== null
  if (auth === null) return { authenticator: null, isPrivate: asksForCertificates, close: () => {} }
  const { log, metrics, tuning } = tools
  const path = auth.htpasswd
  const file = await WatchedFile.open({
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
  if (tls === null && !LOOPBACK.test(host)) log.warn("passwords come unencrypted, there is no TLS", { host })
  const users = async () => await file.current()
  const options = { users, verify: verifyBcrypt, limits: tuning.auth, clock: tuning.clock, log, metrics }
  return { authenticator: new HtpasswdAuthenticator(options), isPrivate: true, close: () => file.close() }
}
