import type { RegistryConfig } from "../config/load.ts"
import { askHelper } from "../credentials/credential-helper.ts"
import { type DockerConfig, parseDockerConfig } from "../credentials/docker-config.ts"
import { DockerKeychain } from "../credentials/docker-keychain.ts"
import { type Login, PasswordKeychain } from "../credentials/password-keychain.ts"
import { proxyEnvironment } from "../egress/proxy.ts"
import { checkedAuthorities } from "../lib/pem.ts"
import { WatchedFile } from "../lib/watched-file.ts"
import type { Keychain } from "../upstream/keychain.ts"
import type { Authorities } from "./outside.ts"
import type { Tools } from "./tools.ts"

export interface Secrets {
  readonly keychain: Keychain
  readonly authorities: Authorities
  close(): void
}

/** Who we are by Docker's own file. */
export interface DockerSecrets {
  readonly keychain: Keychain
  close(): void
}

const NO_KEYCHAIN: Keychain = { find: async () => null, forget: () => {} }

/** A file that the configuration names, and how it is read. */
export interface NamedFile<Value> {
  /** As messages call it. */
  readonly what: string
  readonly path: string
  /** Throws when the text is not usable. */
  readonly parse: (text: string) => Value
}

export const authoritiesOf = (host: string, path: string): NamedFile<string> => ({
  what: `the ca of ${host}`,
  path,
  parse: (text) => checkedAuthorities(path, text),
})

export const passwordOf = (host: string, path: string): NamedFile<string> => ({
  what: `the passwordFile of ${host}`,
  path,
  parse: parsePassword,
})

/** Opens docker's file, if there is one, and follows its changes. Rejects when it cannot be used. */
export async function openDockerSecrets({ dockerAuth }: RegistryConfig, tools: Tools): Promise<DockerSecrets> {
  if (dockerAuth === null) return { keychain: NO_KEYCHAIN, close: () => {} }
  const parse = (text: string) => readDockerAuth(dockerAuth, text, tools)
  const file = await watch({ what: "dockerAuth", path: dockerAuth, parse }, tools)
  return { keychain: dockerKeychain(file, tools), close: () => file.close() }
}

/** Opens every file that says how to talk to upstreams, and follows its changes. Rejects for one that cannot be used. */
export async function openSecrets({ upstreams }: RegistryConfig, others: Keychain, tools: Tools): Promise<Secrets> {
  const opened: Pick<WatchedFile<unknown>, "close">[] = []
  const close = () => {
    for (const file of opened) file.close()
  }
  const open = async <Value>(named: NamedFile<Value>) => {
    const file = await watch(named, tools)
    opened.push(file)
    return file
  }
  const logins = new Map<string, Login>()
  const authorities = new Map<string, WatchedFile<string>>()
  try {
    for (const [host, { ca, passwordFile, username }] of upstreams) {
      if (username !== null && passwordFile !== null)
        logins.set(host, { username, password: await open(passwordOf(host, passwordFile)) })
      if (ca !== null) authorities.set(host, await open(authoritiesOf(host, ca)))
    }
  } catch (error) {
    close()
    throw error
  }
  return { keychain: new PasswordKeychain(logins, others), authorities, close }
}

function readDockerAuth(path: string, text: string, { log }: Tools): DockerConfig {
  const config = parseDockerConfig(text)
  for (const problem of config.problems)
    log.error("cannot use an entry of dockerAuth, nothing is sent for it; the others are used", { path, problem })
  return config
}

function dockerKeychain(
  file: WatchedFile<DockerConfig>,
  { log, tuning: { clock, credentials, proxies } }: Tools,
): DockerKeychain {
  const env = { ...process.env, ...proxyEnvironment(proxies) }
  const { helperMs, knownMs } = credentials
  const ask = async (name: string, server: string) => await askHelper(name, server, { clock, helperMs, env })
  return new DockerKeychain({ file, ask, clock, log, knownMs })
}

async function watch<Value>(
  { what, path, parse }: NamedFile<Value>,
  { log, metrics, tuning: { clock } }: Tools,
): Promise<WatchedFile<Value>> {
  const onReload = () => {
    metrics.configReloads.inc({ result: "success" })
    log.info("reloading file after change", { path })
  }
  const onFailure = (error: unknown) => {
    metrics.configReloads.inc({ result: "failure" })
    log.error("cannot use changed file, the old one stays in use", { path, error })
  }
  return await WatchedFile.open({ path, parse, clock, onReload, onFailure }).catch((cause) => {
    throw new Error(`Cannot use ${what}, ${path}`, { cause })
  })
}

/** Files of secrets often end with a line break that is not part of the secret. Throws for an empty one. */
function parsePassword(text: string): string {
  const password = text.replace(/\r?\n$/, "")
  if (password === "") throw new TypeError("it is empty")
  return password
}
