import { Semaphore } from "../lib/semaphore.ts"
import { type ScanBatch, type ScanLimits, scanLayer } from "./scan-layer.ts"
import type { FromScanner, ToScanner } from "./scan-messages.ts"

declare const self: Worker

/** Batches that are on their way at the same time. */
const BATCHES = 4

const post = (message: FromScanner, transfer: ArrayBuffer[] = []): void => self.postMessage(message, transfer)

const input: Uint8Array<ArrayBuffer>[] = []
let isEnded = false
let arrived = Promise.withResolvers<void>()

async function nextPiece(): Promise<Uint8Array<ArrayBuffer> | null> {
  while (input.length === 0 && !isEnded) await arrived.promise
  const bytes = input.shift()
  if (bytes === undefined) return null
  post({ kind: "used", bytes: bytes.byteLength })
  return bytes
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

async function scan(limits: ScanLimits): Promise<void> {
  try {
    const index = await scanLayer(nextPiece, limits, emit)
    post({ kind: "done", index }, [index.buffer])
  } catch (error) {
    post({ kind: "failed", message: error instanceof Error ? error.message : String(error) })
  }
}

self.onmessage = ({ data }: MessageEvent<ToScanner>) => {
  switch (data.kind) {
    case "begin":
      return void scan(data.limits)
    case "taken":
      return taken.shift()?.()
    case "bytes":
      input.push(data.bytes)
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
