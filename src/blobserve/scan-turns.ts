import { RegistryError } from "../oci/error.ts"

export interface TurnsPolicy {
  /** Layers that are scanned at the same time; more wait. */
  readonly concurrency: number
  /** Layers beside those whose scans wait for slow sources. */
  readonly slow: number
  /** Layers of both kinds that one host sends; it must not have them all. */
  readonly perHost: number
}

export interface Turn {
  /** Aborted when others need the turn more. */
  readonly signal: AbortSignal
  /** Its source is slow, so it makes room for others, for good. */
  slow(): void
  end(): void
}

interface Waiting {
  readonly host: string
  readonly grant: (turn: Turn) => void
}

/**
 * Whose layer is scanned next. Nobody holds others up by waiting for a slow source: such scans go on beside the others,
 * and end early when there are too many of them.
 */
export class ScanTurns {
  readonly #policy: TurnsPolicy
  readonly #queue: Waiting[] = []
  readonly #fast = new Set<HeldTurn>()
  readonly #slow = new Set<HeldTurn>()
  /** Of the fast: those that there is no place for among the slow. */
  readonly #overdue = new Set<HeldTurn>()
  readonly #underWay = new Map<string, number>()

  constructor(policy: TurnsPolicy) {
    this.#policy = policy
  }

  /** Waits for a turn. Rejects with the signal's reason when aborted first. */
  async acquire(host: string, signal: AbortSignal): Promise<Turn> {
    signal.throwIfAborted()
    const { promise, resolve, reject } = Promise.withResolvers<Turn>()
    const waiting: Waiting = { host, grant: resolve }
    const abort = () => {
      const place = this.#queue.indexOf(waiting)
      if (place === -1) return // the turn was granted a moment ago
      this.#queue.splice(place, 1)
      reject(signal.reason)
    }
    signal.addEventListener("abort", abort, { once: true })
    this.#queue.push(waiting)
    this.#advance()
    return await promise.finally(() => signal.removeEventListener("abort", abort))
  }

  #advance(): void {
    for (const turn of this.#overdue) this.#putAside(turn)
    for (let next = this.#next(); next !== null; next = this.#next()) {
      if (this.#fast.size >= this.#policy.concurrency) {
        this.#stopOne()
        return
      }
      this.#queue.splice(this.#queue.indexOf(next), 1)
      this.#grant(next)
    }
  }

  /** The first of those whose hosts have least under way. Null: none may begin. */
  #next(): Waiting | null {
    let next: Waiting | null = null
    let least = this.#policy.perHost
    for (const waiting of this.#queue) {
      const underWay = this.#underWay.get(waiting.host) ?? 0
      if (underWay < least) [next, least] = [waiting, underWay]
    }
    return next
  }

  #grant({ grant, host }: Waiting): void {
    const turn = new HeldTurn(
      () => this.#putAside(turn) && this.#advance(),
      () => this.#end(turn, host),
    )
    this.#fast.add(turn)
    this.#underWay.set(host, (this.#underWay.get(host) ?? 0) + 1)
    grant(turn)
  }

  #putAside(turn: HeldTurn): boolean {
    const hasPlace = this.#slow.size < this.#policy.slow
    if (!this.#fast.has(turn)) return false
    if (hasPlace) {
      this.#overdue.delete(turn)
      this.#fast.delete(turn)
      this.#slow.add(turn)
    } else this.#overdue.add(turn)
    return true
  }

  #stopOne(): void {
    const [turn] = this.#overdue
    if (turn === undefined) return
    this.#overdue.delete(turn)
    const message = "Cannot read a layer now: too many come from slow sources, try again"
    turn.stop(new RegistryError("UNAVAILABLE", message, { retryAfterSeconds: 5 }))
  }

  #end(turn: HeldTurn, host: string): void {
    for (const turns of [this.#fast, this.#slow, this.#overdue]) turns.delete(turn)
    const underWay = (this.#underWay.get(host) ?? 0) - 1
    if (underWay > 0) this.#underWay.set(host, underWay)
    else this.#underWay.delete(host)
    this.#advance()
  }
}

class HeldTurn implements Turn {
  readonly slow: () => void
  readonly #ended: () => void
  readonly #stopped = new AbortController()
  #isOver = false

  constructor(slow: () => void, ended: () => void) {
    this.slow = slow
    this.#ended = ended
  }

  get signal(): AbortSignal {
    return this.#stopped.signal
  }

  stop(reason: unknown): void {
    this.#stopped.abort(reason)
  }

  end(): void {
    if (!this.#isOver) this.#ended()
    this.#isOver = true
  }
}
