import type { LayerEntry, LayerTree } from "../archive/layer-entry.ts"
import type { LayerIndex } from "../archive/layer-index.ts"
import { abortable } from "../lib/single-flight.ts"
import type { Digest } from "../oci/digest.ts"
import type { KeptLayer } from "./kept-layers.ts"
import type { Pack } from "./pack.ts"

type State =
  | { readonly kind: "beginning" }
  | { readonly kind: "growing"; readonly entries: LayerTree; readonly pack: Pack }
  | { readonly kind: "complete"; readonly layer: KeptLayer }
  | { readonly kind: "failed"; readonly error: unknown }

const NOTHING: LayerTree = {
  isComplete: false,
  find: (): LayerEntry | null => null,
  hasBelow: () => false,
  entries: () => [],
}

/** A layer that is being made readable, or is; whoever needs more of it waits for a change. */
export class OpenLayer {
  readonly digest: Digest
  #state: State = { kind: "beginning" }
  #changed = Promise.withResolvers<void>()

  constructor(digest: Digest) {
    this.digest = digest
  }

  /** What is known of its entries. Throws why the layer cannot be read. */
  get tree(): LayerTree {
    switch (this.#state.kind) {
      case "beginning":
        return NOTHING
      case "growing":
        return this.#state.entries
      case "complete":
        return this.#state.layer.index
      case "failed":
        throw this.#state.error
      default:
        return this.#state satisfies never
    }
  }

  /** Null: it is not complete. Throws why the layer cannot be read. */
  get index(): LayerIndex | null {
    if (this.#state.kind === "failed") throw this.#state.error
    return this.#state.kind === "complete" ? this.#state.layer.index : null
  }

  /** Where the contents of its files are. */
  get pack(): Pack | null {
    const state = this.#state
    if (state.kind === "growing") return state.pack
    return state.kind === "complete" ? state.layer.pack : null
  }

  /** True once its bytes have matched their digest. */
  get isVerified(): boolean {
    return this.#state.kind === "complete"
  }

  get isOver(): boolean {
    return this.#state.kind === "complete" || this.#state.kind === "failed"
  }

  /** Resolves when more is known. */
  async changed(signal: AbortSignal): Promise<void> {
    if (!this.isOver) await abortable(this.#changed.promise, signal)
  }

  /** What is known of it so far, and will be; and where the contents of that are. */
  grow(entries: LayerTree, pack: Pack): void {
    this.#enter({ kind: "growing", entries, pack })
  }

  complete(layer: KeptLayer): void {
    this.#enter({ kind: "complete", layer })
  }

  fail(error: unknown): void {
    this.#enter({ kind: "failed", error })
  }

  wake(): void {
    const changed = this.#changed
    this.#changed = Promise.withResolvers<void>()
    changed.resolve()
  }

  #enter(state: State): void {
    this.#state = state
    this.wake()
  }
}
