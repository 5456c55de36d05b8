import type { OpenSpool } from "../blob/spool.ts"
import type { KeyValue } from "../lib/key-value.ts"
import type { Descriptor } from "../oci/descriptor.ts"
import { parseDiffID, parseDigest } from "../oci/digest.ts"
import { RegistryError } from "../oci/error.ts"
import { layerType } from "../oci/media-type.ts"
import { errorText } from "../telemetry/log.ts"
import { inspectLayer, type LayerFacts } from "./inspect.ts"

/** What layer sources need to turn bytes into layers. */
export interface Workshop {
  readonly openSpool: OpenSpool
  /** What is known of layers whose bytes were read before. */
  readonly facts: KeyValue
}

/** Reads new content once and keeps it in the store if it can, so that it is served even when its origin has changed. */
export async function importLayer(
  openSpool: OpenSpool,
  stream: ReadableStream<Uint8Array>,
  signal: AbortSignal,
): Promise<LayerFacts> {
  const spool = await openSpool(null)
  try {
    const facts = await inspectLayer(stream, (bytes) => spool.write(bytes), signal)
    await spool.keep(layerDescriptor(facts)).catch(() => {}) // the store has told why; the layer is read again when it is needed
    return facts
  } finally {
    await spool.close()
  }
}

/** The descriptor of a layer by what its bytes are, not by what somebody says of them. */
export const layerDescriptor = ({ digest, size, encoding }: LayerFacts): Descriptor => ({
  mediaType: layerType("oci", encoding),
  digest,
  size,
})

/** What is shown to users when a layer cannot be had. */
export function layerFault(text: string, error: unknown): RegistryError {
  if (error instanceof RegistryError) return error
  return new RegistryError("UNKNOWN", `Cannot add layer ${text}: ${errorText(error)}`, {
    detail: "layer",
    cause: error,
  })
}

export const printFacts = (facts: LayerFacts): string => JSON.stringify(facts)

/** Null: not known, or written by a version that knew less. */
export function parseFacts(text: string | null): LayerFacts | null {
  if (text === null) return null
  try {
    const { digest, diffID, size, encoding } = JSON.parse(text)
    if (!Number.isSafeInteger(size) || !["none", "gzip", "zstd"].includes(encoding)) return null
    return { digest: parseDigest(digest), diffID: parseDiffID(diffID), size, encoding }
  } catch {
    return null
  }
}
