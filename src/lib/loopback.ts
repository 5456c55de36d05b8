const LOOPBACK = /^(?:(?:localhost\.?|127(?:\.\d{1,3}){3}|\[::1\])(?::\d+)?|::1)$/

/** True for a host that is this machine by its very name, with or without a port. */
export const isLoopbackHost = (host: string): boolean => LOOPBACK.test(host)
