/** Users by name, with the bcrypt hashes of their passwords. */
export type Users = ReadonlyMap<string, string>

const BCRYPT = /^\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}$/
/** htpasswd(1) makes these. A step more takes twice the time; 17 takes ten seconds. */
const MIN_COST = 4
const MAX_COST = 17

const OTHER_KINDS: readonly (readonly [prefix: string, name: string])[] = [
  ["$apr1$", "MD5"],
  ["{SHA}", "SHA-1"],
  ["{SSHA}", "SHA-1"],
  ["$1$", "MD5"],
  ["$5$", "SHA-256"],
  ["$6$", "SHA-512"],
  ["$argon2", "Argon2"],
  ["$2", "bcrypt, but cut off or changed"],
]

/**
 * Reads a file that Apache's htpasswd(1) has made. Throws an error that names file and line, and never what a line
 * holds: somebody may have written a password there.
 */
export function parseHtpasswd(path: string, text: string): Users {
  const users = new Map<string, string>()
  for (const [index, line] of text
    .replace(/^\uFEFF/, "")
    .split("\n")
    .entries()) {
    const entry = line.trim()
    if (entry === "" || entry.startsWith("#")) continue
    const refuse = (problem: string) => new Error(`${path}:${index + 1}: ${problem}`)
    const colon = entry.indexOf(":")
    if (colon < 1) throw refuse(`expected "user:hash"; make such a line with: htpasswd -nB USER`)
    const [user, hash] = [entry.slice(0, colon), entry.slice(colon + 1)]
    if (users.has(user)) throw refuse(`user ${JSON.stringify(user)} is there twice`)
    const problem = hashProblem(hash)
    if (problem !== null)
      throw refuse(`the password of ${JSON.stringify(user)} ${problem}; make it anew with: htpasswd -B FILE USER`)
    users.set(user, hash)
  }
  if (users.size === 0) throw new Error(`${path}: it holds no users; add one with: htpasswd -B FILE USER`)
  return users
}

/** Null: it can be used. */
function hashProblem(hash: string): string | null {
  const cost = BCRYPT.exec(hash)?.[1]
  if (cost === undefined) {
    const kind = OTHER_KINDS.find(([prefix]) => hash.startsWith(prefix))?.[1] ?? "plain text, or crypt"
    return `is kept as ${kind}, expected bcrypt`
  }
  if (Number(cost) >= MIN_COST && Number(cost) <= MAX_COST) return null
  return `has a bcrypt cost of ${Number(cost)}, expected ${MIN_COST} to ${MAX_COST}`
}
