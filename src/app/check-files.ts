import { readFile } from "node:fs/promises"
import { parseHtpasswd } from "../auth/htpasswd.ts"
import type { Config } from "../config/load.ts"
import { credentialPaths, dateProblem, parseCredentials } from "../http/tls/credentials.ts"

/** Reads the files of users and certificates as `run` would. Rejects with what is wrong with one. */
export async function checkFiles({ registry }: Config): Promise<void> {
  const { auth = null, tls = null } = registry ?? {}
  if (auth !== null) parseHtpasswd(auth.htpasswd, await readText(auth.htpasswd))
  if (tls === null) return
  const credentials = parseCredentials(tls, await Promise.all(credentialPaths(tls).map(readText)))
  const problem = dateProblem(credentials, Date.now())
  if (problem !== null) throw new Error(`Cannot use ${tls.crt}: ${problem}`)
}

async function readText(path: string): Promise<string> {
  return await readFile(path, "utf8").catch((cause) => {
    throw new Error(`Cannot read ${path}`, { cause })
  })
}
