import type { Clock } from "../lib/clock.ts"
import { observeStream, type StreamEnd } from "../lib/stream.ts"
import type { Metrics } from "../telemetry/metrics.ts"
import type { BlobSource, ReadyBlob, StreamBlob } from "./blob.ts"
import type { Transfer } from "./transfer.ts"

export interface Measuring {
  readonly metrics: Metrics
  readonly clock: Clock
  /** The transfer that the bytes are for. */
  readonly transfer: Transfer
}

/** A source whose answers, bytes and time to the first of them are counted. */
export function measured(source: BlobSource, { metrics, clock, transfer }: Measuring): BlobSource {
  const { name, origin } = source
  const count = (outcome: "hit" | "miss" | "error") => metrics.blobRequests.inc({ source: name, outcome })
  const took = (bytes: number) => {
    metrics.blobBytes.inc({ source: name }, bytes)
    transfer.took(source, bytes)
  }
  const measuredBlob = (blob: ReadyBlob): ReadyBlob => {
    if (blob.kind === "stream") return { ...blob, open: measuredOpen(blob) }
    took(blob.descriptor.size)
    metrics.original.blobRead(name, { bytes: blob.descriptor.size, seconds: null, isComplete: true })
    count("hit")
    return blob
  }
  const measuredOpen =
    (blob: StreamBlob): StreamBlob["open"] =>
    async (range, signal) => {
      const startedAt = clock.now()
      let bytes = 0
      const chunk = ({ byteLength }: Uint8Array) => {
        if (bytes === 0) metrics.blobTtfb.observe({ source: name }, (clock.now() - startedAt) / 1000)
        bytes += byteLength
        took(byteLength)
      }
      const end = (kind: StreamEnd["kind"]) => {
        const isComplete = kind === "complete"
        if (kind !== "left") count(isComplete ? "hit" : "error")
        metrics.original.blobRead(name, { bytes, seconds: (clock.now() - startedAt) / 1000, isComplete })
      }
      try {
        const stream = await blob.open(range, signal)
        return observeStream(stream, {
          chunk,
          end: (how) => {
            end(how.kind)
            if (how.kind === "broken" && !signal.aborted) transfer.failed(source, how.error)
          },
        })
      } catch (error) {
        end(signal.aborted ? "left" : "broken")
        if (!signal.aborted) transfer.failed(source, error)
        throw error
      }
    }
  return {
    name,
    origin,
    ...(source.identity === undefined ? {} : { identity: source.identity }),
    ...(source.hedgeMs === undefined ? {} : { hedgeMs: source.hedgeMs }),
    ...(source.isHint === undefined ? {} : { isHint: source.isHint }),
    wrong: async (descriptor) => await source.wrong?.(descriptor),
    find: async (descriptor, signal) => {
      const blob = await source.find(descriptor, signal)
      if (blob === null) count("miss")
      return blob === null ? null : measuredBlob(blob)
    },
  }
}
