import type { Descriptor } from "../oci/descriptor.ts"

/** A layer whose bytes can be had, from wherever its image has them. */
export interface LayerSource {
  readonly descriptor: Descriptor
  /** The layer as it is sent. It errors when the bytes are not those of the descriptor. The opener cancels it. */
  open(signal: AbortSignal): Promise<ReadableStream<Uint8Array>>
}
