import { LRUCache } from "lru-cache"

/** What of the content of specs is kept in memory, for stores that could not keep it. */
const HELD_BYTES = 64 * 1024 * 1024

/**
 * Content that stands in specs, by key, up to a limit. What was pushed out has to be given again: a layer made of it
 * is no longer current, so that whoever composes asks for the spec anew.
 */
export class HeldContent<Value extends object> {
  readonly #held: LRUCache<string, Value>

  constructor(maxBytes = HELD_BYTES) {
    this.#held = new LRUCache({ maxSize: maxBytes })
  }

  hold(key: string, value: Value, bytes: number): void {
    this.#held.set(key, value, { size: bytes + 500 })
  }

  has(key: string): boolean {
    return this.#held.has(key)
  }

  /** Null: it was pushed out. */
  get(key: string): Value | null {
    return this.#held.get(key) ?? null
  }
}
