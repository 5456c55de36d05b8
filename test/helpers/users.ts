import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { tempDir } from "./temp-dir.ts"

/** Who we are to an upstream, as its settings have it. */
export function upstreamLogin(username: string, password: string) {
  const passwordFile = join(tempDir(), "password")
  writeFileSync(passwordFile, password)
  return { username, passwordFile }
}

/** A line of a file of users, with a cheap hash. */
export async function userLine(user: string, password: string): Promise<string> {
  return `${user}:${await Bun.password.hash(password, { algorithm: "bcrypt", cost: 4 })}\n`
}

/** As a client sends them (RFC 7617). */
export const basic = (user: string, password: string): { readonly authorization: string } => ({
  authorization: `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}`,
})
