import { describe, expect, test } from "bun:test"
import { parseHtpasswd } from "../../src/auth/htpasswd.ts"

const HASH = `$2y$05$${"abcdefghijklmnopqrstu".padEnd(53, ".")}`
const users = (text: string) => Object.fromEntries(parseHtpasswd("users", text))

describe("parseHtpasswd()", () => {
  test.each([
    ["one user", `ann:${HASH}`],
    ["an end of line", `ann:${HASH}\n`],
    ["ends of lines as Windows has them", `ann:${HASH}\r\n`],
    ["comments and empty lines", `# people\n\nann:${HASH}\n  \n# robots\n`],
    ["a byte order mark", `\uFEFFann:${HASH}\n`],
    ["spaces around", `  ann:${HASH}  \n`],
  ])("reads %s", (_, text) => {
    expect(users(text)).toEqual({ ann: HASH })
  })

  test.each(["$2a$", "$2b$", "$2y$"])("takes bcrypt that calls itself %s", (prefix) => {
    const hash = HASH.replace("$2y$", prefix)

    expect(users(`ann:${hash}\nbob@example.com:${HASH}`)).toEqual({ ann: hash, "bob@example.com": HASH })
  })

  test.each([
    ["", "users: it holds no users; add one with: htpasswd -B FILE USER"],
    ["# nobody yet\n\n", "users: it holds no users"],
    [`ann:${HASH}\nbob`, 'users:2: expected "user:hash"; make such a line with: htpasswd -nB USER'],
    [`:${HASH}`, 'users:1: expected "user:hash"'],
    [`ann:${HASH}\nann:${HASH}`, 'users:2: user "ann" is there twice'],
    ["ann:", 'users:1: the password of "ann" is kept as plain text, or crypt, expected bcrypt'],
    ["\nann:letmein", 'users:2: the password of "ann" is kept as plain text, or crypt, expected bcrypt'],
    ["ann:$apr1$zQ0Z$wq5zZqVh0cCZ3mJr0vqYB1", 'users:1: the password of "ann" is kept as MD5'],
    ["ann:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", 'users:1: the password of "ann" is kept as SHA-1'],
    ["ann:$5$abc$def", 'users:1: the password of "ann" is kept as SHA-256'],
    ["ann:$6$abc$def", 'users:1: the password of "ann" is kept as SHA-512'],
    ["ann:$argon2id$v=19$m=65536,t=2,p=1$abc$def", 'users:1: the password of "ann" is kept as Argon2'],
    [`ann:${HASH.slice(0, -1)}`, 'users:1: the password of "ann" is kept as bcrypt, but cut off or changed'],
    [`ann:${HASH}:extra`, 'users:1: the password of "ann" is kept as bcrypt, but cut off or changed'],
    [`ann:${HASH.replace("05", "31")}`, 'users:1: the password of "ann" has a bcrypt cost of 31, expected 4 to 17'],
    [`ann:${HASH.replace("05", "03")}`, 'users:1: the password of "ann" has a bcrypt cost of 3, expected 4 to 17'],
  ])("refuses %j", (text, message) => {
    expect(() => parseHtpasswd("users", text)).toThrow(message)
  })

  test("says how to make a right entry, and never what the wrong one holds", () => {
    const refusal = (text: string) => {
      try {
        return String(parseHtpasswd("users", text))
      } catch (error) {
        return String(error)
      }
    }

    expect(refusal("ann:canary")).toContain("make it anew with: htpasswd -B FILE USER")
    expect(refusal("ann:canary")).not.toContain("canary")
    expect(refusal("canary")).not.toContain("canary")
    expect(refusal("ann:$apr1$canary$x")).not.toContain("canary")
  })
})
