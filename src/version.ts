import { version } from "../package.json" with { type: "json" }

/** Stamped by build.ts; the sources alone do not know it. */
declare const BUILD_COMMIT: string | undefined

export const VERSION = version
export const COMMIT = typeof BUILD_COMMIT === "undefined" ? "unknown" : BUILD_COMMIT
