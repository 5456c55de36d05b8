/** Steps of a work that waits for nothing, before others get their turn. */
const TURN = 5000

/** Tells a long work when to let others have their turn: `if (turns.spend(1)) await Bun.sleep(0)`. */
export class Turns {
  #steps = 0

  /** True when this turn is over; then the next one begins. */
  spend(steps: number): boolean {
    this.#steps += steps
    if (this.#steps <= TURN) return false
    this.#steps = 0
    return true
  }
}
