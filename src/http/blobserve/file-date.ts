/** The last second that has four digits for its year, which is all that HTTP can say. */
const LAST = 253_402_300_799

/** When a file was changed, from what its archive says, in seconds since the epoch. Null: that is no time. */
export const fileDate = (mtime: number): Date | null => (mtime <= LAST ? new Date(Math.max(0, mtime) * 1000) : null)
