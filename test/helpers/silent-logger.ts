import type { Logger } from "../../src/telemetry/log.ts"

/** For what is tested without its log. */
export const silentLogger: Logger = {
  request: () => {},
  sameRequest: () => {},
  debug: () => {},
  info: () => {},
  warn: () => {},
  error: () => {},
  tellRest: () => {},
}
