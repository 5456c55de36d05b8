import { type ConditionState, type Conditions, isBlocking } from "./readiness.ts"

interface Told {
  readonly state: ConditionState
  readonly reason: string
}

/** How something is that may not be in use yet, or no longer: it is told on while it is. */
export class StagedConditions implements Conditions {
  readonly #told = new Map<string, Told>()
  #readers: Conditions | null = null
  #changed = Promise.withResolvers<void>()

  get names(): readonly string[] {
    return [...this.#told.keys()]
  }

  /** What would make a process that uses it not ready. */
  get blocking(): ReadonlyMap<string, Told> {
    return new Map([...this.#told].filter(([, { state }]) => isBlocking(state)))
  }

  /** Resolves when anything is told next. */
  get changed(): Promise<void> {
    return this.#changed.promise
  }

  /** Tells `readers` what is known, and all that follows. Null: nobody any more. */
  tellTo(readers: Conditions | null): void {
    this.#readers = readers
    for (const [name, { reason, state }] of this.#told) readers?.[state](name, reason)
  }

  ok(name: string): void {
    this.#note(name, "ok", "")
  }

  degraded(name: string, reason: string): void {
    this.#note(name, "degraded", reason)
  }

  failed(name: string, reason: string): void {
    this.#note(name, "failed", reason)
  }

  pending(name: string, reason: string): void {
    this.#note(name, "pending", reason)
  }

  #note(name: string, state: ConditionState, reason: string): void {
    this.#told.set(name, { state, reason })
    this.#readers?.[state](name, reason)
    this.#changed.resolve()
    this.#changed = Promise.withResolvers<void>()
  }
}
