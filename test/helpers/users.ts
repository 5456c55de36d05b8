/** A line of a file of users, with a cheap hash. */
export async function userLine(user: string, password: string): Promise<string> {
  return `${user}:${await Bun.password.hash(password, { algorithm: "bcrypt", cost: 4 })}\n`
}

/** As a client sends them (RFC 7617). */
export const basic = (user: string, password: string): { readonly authorization: string } => ({
  authorization: `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}`,
})
