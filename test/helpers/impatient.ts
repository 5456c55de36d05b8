import { PRODUCTION, type Tuning } from "../../src/tuning.ts"

/** Production's patience, except that nobody waits before trying again. */
export const IMPATIENT: Tuning = {
  ...PRODUCTION,
  documents: { ...PRODUCTION.documents, baseMs: 1, capMs: 5 },
  downloads: { ...PRODUCTION.downloads, baseMs: 1, capMs: 5, failureMs: 1 },
  egress: { ...PRODUCTION.egress, failures: 1_000_000 },
}
