/** True for a client that wants another protocol on the connection: nothing here speaks one. */
export function isUpgrade({ headers }: Request): boolean {
  if (headers.has("upgrade")) return true
  const connection = headers.get("connection")
  return connection !== null && /\bupgrade\b/i.test(connection)
}
