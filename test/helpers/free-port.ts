/** Linux gives ports from here on to whoever asks for any, and to connections as their own end. */
const FIRST_EPHEMERAL = 32_768
const FIRST = 10_000

let next = FIRST + Math.floor(Math.random() * (FIRST_EPHEMERAL - FIRST))

/**
 * A port of 127.0.0.1 that is free now, for programs that have to be told one. Nothing gets it by chance until they
 * listen: no connection, no server that asks for any port, and nobody else in this process.
 */
export function freePort(): number {
  for (;;) {
    const port = next
    next = port + 1 < FIRST_EPHEMERAL ? port + 1 : FIRST
    if (isFree(port)) return port
  }
}

function isFree(port: number): boolean {
  try {
    Bun.listen({ hostname: "127.0.0.1", port, socket: { data() {} } }).stop(true)
    return true
  } catch {
    return false
  }
}
