import { Counter, type Registry } from "prom-client"

type Value = string | number

interface BusyCounterOptions<Label extends string> {
  readonly name: string
  readonly help: string
  /** One or two. */
  readonly labelNames: readonly [Label, Label?]
  readonly registers: Registry[]
}

interface Tally<Label extends string> {
  readonly labels: Readonly<Record<Label, Value>>
  /** Counted since somebody has looked. */
  count: number
}

/**
 * A counter of what every request does. prom-client makes a text of the labels each time, which costs more than the rest
 * of counting: here the numbers add up beside it, and it is told when somebody looks.
 */
export class BusyCounter<Label extends string> {
  readonly #first: Label
  readonly #second: Label | undefined
  readonly #tallies = new Map<Value, Map<Value | null, Tally<Label>>>()

  constructor(options: BusyCounterOptions<Label>) {
    const [first, second] = options.labelNames
    this.#first = first
    this.#second = second
    const labelNames = second === undefined ? [first] : [first, second]
    const counter: Counter<Label> = new Counter({ ...options, labelNames, collect: () => this.#tell(counter) })
  }

  inc(labels: Readonly<Record<Label, Value>>, value = 1): void {
    const first = labels[this.#first]
    const second = this.#second === undefined ? null : labels[this.#second]
    const tally = this.#tallies.get(first)?.get(second) ?? this.#begin(first, second, labels)
    tally.count += value
  }

  #begin(first: Value, second: Value | null, labels: Readonly<Record<Label, Value>>): Tally<Label> {
    const tally = { labels, count: 0 }
    const ofFirst = this.#tallies.get(first) ?? new Map<Value | null, Tally<Label>>()
    this.#tallies.set(first, ofFirst.set(second, tally))
    return tally
  }

  #tell(counter: Counter<Label>): void {
    for (const ofFirst of this.#tallies.values()) {
      for (const tally of ofFirst.values()) {
        counter.inc(tally.labels, tally.count)
        tally.count = 0
      }
    }
  }
}
