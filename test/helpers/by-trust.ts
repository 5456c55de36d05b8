import type { Trust } from "../../src/oci/reference.ts"

/** The same for what operators write and for what others do. */
export const byTrust = <Value>(value: Value): Readonly<Record<Trust, Value>> => ({ operator: value, remote: value })
