import type { Logger } from "../../src/telemetry/log.ts"

/** For what is tested without its log. */
export const silentLogger: Logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }
