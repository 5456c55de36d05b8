import type { Clock } from "../lib/clock.ts"
import { observeStream } from "../lib/stream.ts"
import type { Metrics } from "../telemetry/metrics.ts"
import type { BlobSource, ReadyBlob, StreamBlob } from "./blob.ts"

export interface Measuring {
  readonly metrics: Metrics
  readonly clock: Clock
}

/** A source whose answers, bytes and time to the first of them are counted. */
export function measured(source: BlobSource, { metrics, clock }: Measuring): BlobSource {
  const { name, origin } = source
  const count = (outcome: "hit" | "miss" | "error") => metrics.blobRequests.inc({ source: name, outcome })
  const measuredBlob = (blob: ReadyBlob): ReadyBlob => {
    if (blob.kind === "stream") return { ...blob, open: measuredOpen(blob) }
    metrics.blobBytes.inc({ source: name }, blob.descriptor.size)
    count("hit")
    return blob
  }
  const measuredOpen =
    (blob: StreamBlob): StreamBlob["open"] =>
    async (range, signal) => {
      const startedAt = clock.now()
      let isFirst = true
      const chunk = ({ byteLength }: Uint8Array) => {
        if (isFirst) metrics.blobTtfb.observe({ source: name }, (clock.now() - startedAt) / 1000)
        isFirst = false
        metrics.blobBytes.inc({ source: name }, byteLength)
      }
      try {
        const stream = await blob.open(range, signal)
        return observeStream(stream, { chunk, end: ({ kind }) => count(kind === "complete" ? "hit" : "error") })
      } catch (error) {
        count("error")
        throw error
      }
    }
  return {
    name,
    origin,
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
