import { parseJsonText } from "../lib/json-text.ts"
import { redactText } from "../lib/redact.ts"
import { canonicalHost, type Repository } from "../oci/reference.ts"
import { errorText } from "../telemetry/log.ts"
import type { Credential } from "../upstream/keychain.ts"

/**
 * Where the credential for a repository is: in the file itself, or with a helper that knows it by `server`. What is
 * stored is null where the entry cannot be used: then none is sent, not that of another entry.
 */
export type Entry =
  | { readonly kind: "stored"; readonly credential: Credential | null }
  | { readonly kind: "helper"; readonly helper: string; readonly server: string }

/** A docker config.json, as far as it is about credentials. */
export interface DockerConfig {
  /** By `host` or `host/path`, in their canonical spelling. */
  readonly entries: ReadonlyMap<string, Entry>
  /** The helper for everything that has no entry. */
  readonly store: string | null
  /** What is wrong with single entries, by their keys; never what stands there. */
  readonly problems: readonly string[]
}

/** The name under which Docker's own clients keep credentials of Docker Hub. */
const DOCKER_HUB_SERVER = "https://index.docker.io/v1/"

/**
 * Reads Docker's config.json, and the auth.json of containers (containers-auth.json(5)), whose keys may hold a path.
 * An entry that is wrong costs its own hosts their credential; for a file that is, an error is thrown that names the
 * key, and never what stands there.
 */
export function parseDockerConfig(text: string): DockerConfig {
  const file = asRecord(parseJsonText(text).value, "the document")
  const entries = new Map<string, Entry>()
  const problems: string[] = []
  const read = (section: string, toEntry: (key: string, value: unknown) => Entry | null) => {
    for (const [key, value] of Object.entries(asRecord(file[section], `"${section}"`))) {
      try {
        const entry = toEntry(key, value)
        if (entry !== null) entries.set(canonicalKey(key), entry)
      } catch (error) {
        problems.push(errorText(error))
        if (!entries.has(canonicalKey(key))) entries.set(canonicalKey(key), { kind: "stored", credential: null })
      }
    }
  }
  read("auths", (key, value) => {
    const credential = readCredential(asRecord(value, `"auths" of ${redactText(key)}`), redactText(key))
    return credential === null ? null : { kind: "stored", credential }
  })
  // A helper is asked even where the file holds something: it is what docker asks, and the newer of the two
  read("credHelpers", (key, value) => {
    const helper = helperName(value, `"credHelpers" of ${redactText(key)}`)
    return { kind: "helper", helper, server: serverOf(key) }
  })
  return { entries, store: readStore(file["credsStore"], problems), problems }
}

function readStore(value: unknown, problems: string[]): string | null {
  if (value === undefined || value === null || value === "") return null
  try {
    return helperName(value, '"credsStore"')
  } catch (error) {
    problems.push(errorText(error))
    return null
  }
}

/** The entry that fits best: the longest path, then the host, then the helper for everything. Null: there is none. */
export function findEntry({ entries, store }: DockerConfig, { host, path }: Repository): Entry | null {
  const parts = path.split("/")
  const paths = parts.map((_, index) => [host, ...parts.slice(0, parts.length - index)].join("/"))
  for (const key of [...paths, host]) {
    const entry = entries.get(key)
    if (entry !== undefined) return entry
  }
  return store === null ? null : { kind: "helper", helper: store, server: serverOf(host) }
}

const serverOf = (key: string): string => (canonicalKey(key) === "docker.io" ? DOCKER_HUB_SERVER : key)

/** Older clients write the URL of an API; the path in it is no repository. */
function canonicalKey(key: string): string {
  const [, scheme = "", host = "", path = ""] = /^(https?:\/\/)?([^/]*)\/?(.*?)\/*$/.exec(key) ?? []
  const isAPI = scheme !== "" || /^v[12]$/.test(path)
  return isAPI || path === "" ? canonicalHost(host) : `${canonicalHost(host)}/${path}`
}

function readCredential(entry: Readonly<Record<string, unknown>>, key: string): Credential | null {
  const field = (name: string) => asText(entry[name], `"${name}" of ${key}`)
  const [registry, identity] = [field("registrytoken"), field("identitytoken")]
  if (registry !== "") return { kind: "bearer", token: headerText(registry, `"registrytoken" of ${key}`) }
  if (identity !== "") return { kind: "refresh", token: identity }
  const auth = field("auth")
  const [username, password] = auth === "" ? [field("username"), field("password")] : splitAuth(auth, key)
  return username === "" && password === "" ? null : { kind: "password", username, password }
}

/** Docker's clients fill the end of a password with zero bytes. */
function splitAuth(auth: string, key: string): readonly [string, string] {
  const text = Buffer.from(auth, "base64").toString("utf8")
  const colon = text.indexOf(":")
  if (colon === -1) throw new TypeError(`"auth" of ${key} is not "user:password" in base64`)
  return [text.slice(0, colon), text.slice(colon + 1).replace(/\0+$/, "")]
}

/** A name becomes part of a program's name, so it must not lead anywhere else. */
function helperName(value: unknown, what: string): string {
  if (typeof value === "string" && /^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(value)) return value
  throw new TypeError(`${what} is no name of a credential helper, like "ecr-login"`)
}

/** It is sent as it is; what no header can hold would fail there, and look like a fault of the network. */
function headerText(token: string, what: string): string {
  if (/^[\x21-\x7e]+$/.test(token)) return token
  throw new TypeError(`${what} holds a space, a line break or a letter that no token has`)
}

function asText(value: unknown, what: string): string {
  if (value === undefined || value === null) return ""
  if (typeof value === "string") return value
  throw new TypeError(`${what} is not a text`)
}

function asRecord(value: unknown, what: string): Readonly<Record<string, unknown>> {
  if (value === undefined || value === null) return {}
  if (typeof value === "object" && !Array.isArray(value)) return value as Record<string, unknown>
  throw new TypeError(`${what} is not an object`)
}
