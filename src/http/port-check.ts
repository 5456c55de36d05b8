/**
 * Throws EADDRINUSE when anybody listens on the port, also somebody who would share it. Our own ports can be shared
 * (SO_REUSEPORT), so that a successor may stand beside us; without this look a second process would, unnoticed, too.
 */
export function refuseTaken(hostname: string, port: number): void {
  if (port === 0) return
  const socket = { data: () => {} }
  Bun.listen({ hostname, port, socket }).stop(true)
}
