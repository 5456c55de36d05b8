import type { LayerEntry, LayerTree } from "../archive/layer-entry.ts"
import type { LayerIndex } from "../archive/layer-index.ts"
import { abortable } from "../lib/single-flight.ts"
import type { Digest } from "../oci/digest.ts"
import type { KeptLayer } from "./kept-layers.ts"
import type { Pack } from "./pack.ts"

type State =
  | { readonly kind: "beginning" }
  | { readonly kind: "following"; readonly leader: OpenLayer }
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
  static #count = 0
  /** Tells it from others of the same digest. */
  readonly id = ++OpenLayer.#count
  readonly digest: Digest
  /** Under which it is shared. */
  readonly scope: string
  #state: State = { kind: "beginning" }
  #changed = Promise.withResolvers<void>()
  #isSlow = false

  constructor(digest: Digest, scope: string) {
    this.digest = digest
    this.scope = scope
  }

  /** What is known of its entries. Throws why the layer cannot be read. */
  get tree(): LayerTree {
    switch (this.#state.kind) {
      case "beginning":
        return NOTHING
      case "following":
        return this.#state.leader.hasFailed ? NOTHING : this.#state.leader.tree
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
    const state = this.#state
    if (state.kind === "failed") throw state.error
    if (state.kind === "following") return state.leader.hasFailed ? null : state.leader.index
    return state.kind === "complete" ? state.layer.index : null
  }

  /** Where the contents of its files are. */
  get pack(): Pack | null {
    const state = this.#state
    if (state.kind === "following") return state.leader.pack
    if (state.kind === "growing") return state.pack
    return state.kind === "complete" ? state.layer.pack : null
  }

  /** True once its bytes have matched their digest. */
  get isVerified(): boolean {
    const state = this.#state
    return state.kind === "following" ? state.leader.isVerified : state.kind === "complete"
  }

  get hasFailed(): boolean {
    return this.#state.kind === "failed"
  }

  get isOver(): boolean {
    return this.isVerified || this.hasFailed
  }

  /** True once its source has been slow. */
  get isSlow(): boolean {
    return this.#isSlow
  }

  /** Resolves when more is known. */
  async changed(signal: AbortSignal): Promise<void> {
    if (this.isOver) return
    const state = this.#state
    const changed = [this, ...(state.kind === "following" ? [state.leader] : [])].map((layer) => layer.#changed.promise)
    await abortable(Promise.race(changed), signal)
  }

  slow(): void {
    this.#isSlow = true
    this.wake()
  }

  /** It is the same as another, from another source, as long as that does not fail. */
  follow(leader: OpenLayer): void {
    this.#enter({ kind: "following", leader })
  }

  /** What is known of it so far, and will be; and where the contents of that are. */
  grow(entries: LayerTree, pack: Pack): void {
    if (!this.isVerified) this.#enter({ kind: "growing", entries, pack })
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
