import type { Descriptor } from "../oci/descriptor.ts"
import type { Trust } from "../oci/reference.ts"

/** A layer whose bytes can be had, from wherever its image has them. */
export interface LayerSource {
  readonly descriptor: Descriptor
  /** Who sends it. */
  readonly host: string
  /** Tells one source from another that may have other answers for the same layer. */
  readonly place: string
  /** The layer as it is sent. Apart: by no transfer that others have begun. It errors when the bytes are not those of the descriptor. The opener cancels it. */
  open(signal: AbortSignal, isApart?: boolean): Promise<ReadableStream<Uint8Array>>
}

/** Whose layer it is: everybody's who has it, but what strangers send is that of their own repository alone. */
export const scopeOf = (trust: Trust, { descriptor: { digest }, place }: LayerSource): string =>
  trust === "remote" ? `${place}@${digest}` : digest
