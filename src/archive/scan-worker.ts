import { Semaphore } from "../lib/semaphore.ts"
import { type ScanBatch, type ScanInput, type ScanOptions, scanLayer } from "./scan-layer.ts"
import type { FromScanner, ToScanner } from "./scan-messages.ts"

declare const self: Worker

/** Batches that are on their way at the same time, so that the scan seldom waits for those who take them. */
const BATCHES = 4

const post = (message: FromScanner, transfer: ArrayBuffer[] = []): void => self.postMessage(message, transfer)

const waiting: Uint8Array<ArrayBuffer>[] = []
let isEnded = false
let arrived = Promise.withResolvers<void>()

const input: ScanInput = {
  next: async () => {
    while (waiting.length === 0 && !isEnded) await arrived.promise
    return waiting.shift() ?? null
  },
  used: (piece) => post({ kind: "used", piece }, [piece.buffer]),
}

const slots = new Semaphore(BATCHES)
const taken: (() => void)[] = []

async function emit(batch: ScanBatch): Promise<void> {
  taken.push(await slots.acquire(AbortSignal.any([])))
  post(
    { kind: "batch", batch },
    batch.packed.map(({ buffer }) => buffer),
  )
}

async function scan(options: ScanOptions): Promise<void> {
  try {
    const index = await scanLayer(input, options, emit)
    post({ kind: "done", index }, [index.buffer])
  } catch (error) {
    post({ kind: "failed", message: error instanceof Error ? error.message : String(error) })
  }
}

self.onmessage = ({ data }: MessageEvent<ToScanner>) => {
  switch (data.kind) {
    case "begin":
      return void scan(data.options)
    case "taken":
      return taken.shift()?.()
    case "bytes":
      waiting.push(data.bytes)
      break
    case "end":
      isEnded = true
      break
    default:
      return data satisfies never
  }
  const { resolve } = arrived
  arrived = Promise.withResolvers<void>()
  resolve()
}
