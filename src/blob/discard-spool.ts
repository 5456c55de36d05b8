import { type OpenSpool, type Spool, SpoolGone } from "./spool.ts"

/** Takes everything and keeps nothing, for content that is only looked at. */
export const openDiscard: OpenSpool = async (): Promise<Spool> => ({
  isWindow: false,
  write: async () => {},
  read: (offset) => Promise.reject(new SpoolGone(offset)),
  advance: () => {},
  reset: async () => {},
  keep: async () => null,
  close: async () => {},
})
