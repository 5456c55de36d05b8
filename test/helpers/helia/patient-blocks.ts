import { setTimeout as sleep } from "node:timers/promises"
import type { CID } from "multiformats/cid"
import type { HeliaNode } from "./node.ts"

const ANSWER_MS = 1000
/** A block that is asked for before it was noted that the question was withdrawn is never asked for. */
const WITHDRAWAL_MS = 100

type Blocks = Pick<HeliaNode["blockstore"], "get" | "has" | "put">
type Options = Parameters<Blocks["get"]>[1]

/** Helia's Bitswap loses a question now and then where a machine has much to do; it is asked again then, as Kubo does. */
export function patientBlocks(blocks: HeliaNode["blockstore"]): Blocks {
  return {
    has: async (cid, options) => await blocks.has(cid, options),
    put: async (cid, bytes, options) => await blocks.put(cid, bytes, options),
    get: async function* (cid, options) {
      yield await ask(blocks, cid, options)
    },
  }
}

async function ask(blocks: HeliaNode["blockstore"], cid: CID, options: Options): Promise<Uint8Array> {
  const left = options?.signal
  while (true) {
    const late = AbortSignal.timeout(ANSWER_MS)
    const signal = left === undefined ? late : AbortSignal.any([left, late])
    try {
      return Buffer.concat(await Array.fromAsync(blocks.get(cid, { ...options, signal })))
    } catch (error) {
      left?.throwIfAborted()
      if (!late.aborted) throw error
      await sleep(WITHDRAWAL_MS, null, left === undefined ? {} : { signal: left })
    }
  }
}
