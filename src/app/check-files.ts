import { readFile } from "node:fs/promises"
import { parseHtpasswd } from "../auth/htpasswd.ts"
import type { Config, RegistryConfig } from "../config/load.ts"
import { parseDockerConfig } from "../credentials/docker-config.ts"
import { credentialPaths, dateProblem, parseCredentials } from "../http/tls/credentials.ts"
import { readAuthorities, readTls } from "../lib/tls-files.ts"
import { authoritiesOf, type NamedFile, passwordOf } from "./secrets.ts"

/**
 * Reads every file of users, passwords and certificates as `run` would. Rejects with what is wrong with one; gives what
 * `run` would tell of and go on without.
 */
export async function checkFiles({ alone, registry }: Config): Promise<readonly string[]> {
  const config = registry ?? alone
  await checkPort(config)
  await checkUpstreams(config)
  checkPeers(config)
  return await dockerAuthProblems(config)
}

async function checkPort({ auth, tls }: RegistryConfig): Promise<void> {
  if (auth !== null) parseHtpasswd(auth.htpasswd, await readText(auth.htpasswd))
  if (tls === null) return
  const credentials = parseCredentials(tls, await Promise.all(credentialPaths(tls).map(readText)))
  const problem = dateProblem(credentials, Date.now())
  if (problem !== null) throw new Error(`Cannot use ${tls.crt}: ${problem}`)
}

async function checkUpstreams({ upstreams }: RegistryConfig): Promise<void> {
  for (const [host, { ca, passwordFile }] of upstreams) {
    if (ca !== null) await parsed(authoritiesOf(host, ca))
    if (passwordFile !== null) await parsed(passwordOf(host, passwordFile))
  }
}

function checkPeers({ sharing, specProviders }: RegistryConfig): void {
  const ca = sharing.redis?.tls?.ca ?? null
  if (ca !== null) readAuthorities(ca)
  for (const provider of specProviders) if (provider.kind === "grpc" && provider.tls !== null) readTls(provider.tls)
}

async function dockerAuthProblems({ dockerAuth }: RegistryConfig): Promise<readonly string[]> {
  if (dockerAuth === null) return []
  const { problems } = await parsed({ what: "dockerAuth", path: dockerAuth, parse: parseDockerConfig })
  return problems.map(
    (problem) => `Cannot use an entry of dockerAuth, ${dockerAuth}, nothing is sent for it: ${problem}`,
  )
}

async function parsed<Value>({ what, path, parse }: NamedFile<Value>): Promise<Value> {
  const text = await readText(path)
  try {
    return parse(text)
  } catch (cause) {
    throw new Error(`Cannot use ${what}, ${path}`, { cause })
  }
}

async function readText(path: string): Promise<string> {
  return await readFile(path, "utf8").catch((cause) => {
    throw new Error(`Cannot read ${path}`, { cause })
  })
}
