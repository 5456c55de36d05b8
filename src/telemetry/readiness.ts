import type { Logger } from "./log.ts"

/**
 * - `ok`: it holds.
 * - `degraded`: something is missing, but requests are answered; the process stays ready.
 * - `failed`: requests would fail, so others should get them.
 * - `pending`: not known yet, as at the start; until it is, others should get them.
 */
export type ConditionState = "ok" | "degraded" | "failed" | "pending"

/** What keeps requests away. */
export const isBlocking = (state: ConditionState): boolean => state === "failed" || state === "pending"

export interface Condition {
  /** For people and for machines, e.g. "static layers". */
  readonly name: string
  readonly state: ConditionState
  /** Why it is not ok, and what is done about it; empty where it is. Holds no secret. */
  readonly reason: string
  readonly since: Date
}

/** Where parts of the process tell how they are. */
export interface Conditions {
  ok(name: string): void
  degraded(name: string, reason: string): void
  failed(name: string, reason: string): void
  pending(name: string, reason: string): void
}

/**
 * Whether this process can do its work, as its parts have told. Asking costs nothing and touches nobody, so that a
 * probe is answered while everything else hangs.
 */
export class Readiness implements Conditions {
  readonly #conditions = new Map<string, Condition>()
  readonly #log: Logger

  constructor(log: Logger) {
    this.#log = log
  }

  get isReady(): boolean {
    return this.conditions.every(({ state }) => !isBlocking(state))
  }

  /** In the order in which they were first told. */
  get conditions(): readonly Condition[] {
    return [...this.#conditions.values()]
  }

  ok(name: string): void {
    this.#tell(name, "ok", "")
  }

  degraded(name: string, reason: string): void {
    this.#tell(name, "degraded", reason)
  }

  failed(name: string, reason: string): void {
    this.#tell(name, "failed", reason)
  }

  /** As `failed`, where that is meant: nobody has to be warned. */
  ended(name: string, reason: string): void {
    this.#conditions.set(name, { name, state: "failed", reason, since: new Date() })
  }

  pending(name: string, reason: string): void {
    this.#tell(name, "pending", reason)
  }

  /** For a part that is no longer configured. */
  remove(name: string): void {
    this.#conditions.delete(name)
  }

  /** The same news again, with other words perhaps, are no news. */
  #tell(name: string, state: ConditionState, reason: string): void {
    const known = this.#conditions.get(name)
    const isNews = known?.state !== state
    this.#conditions.set(name, { name, state, reason, since: isNews ? new Date() : known.since })
    const isFirst = known === undefined || known.state === "pending"
    if (!isNews || state === "pending" || (isFirst && state === "ok")) return
    if (state === "ok") this.#log.info("condition holds again", { condition: name })
    else this.#log.warn(`condition ${state}`, { condition: name, reason })
  }
}
