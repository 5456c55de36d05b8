import { Counter, type Registry } from "prom-client"
import { ByLabels, type LabelNames, type Labels, nameList } from "./by-labels.ts"

interface BusyCounterOptions<Label extends string> {
  readonly name: string
  readonly help: string
  readonly labelNames: LabelNames<Label>
  readonly registers: Registry[]
}

class Count<Label extends string> {
  readonly labels: Labels<Label>
  untold = 0

  constructor(labels: Labels<Label>) {
    this.labels = labels
  }

  inc(value = 1): void {
    this.untold += value
  }
}

/**
 * A counter of what every request does. prom-client makes a text of the labels each time, which costs more than the rest
 * of counting: here the numbers add up beside it, and it is told when somebody looks.
 */
export class BusyCounter<Label extends string> {
  readonly #counts: ByLabels<Label, Count<Label>>

  constructor(options: BusyCounterOptions<Label>) {
    this.#counts = new ByLabels(options.labelNames, (labels) => new Count(labels))
    const labelNames = nameList(options.labelNames)
    const counter: Counter<Label> = new Counter({ ...options, labelNames, collect: () => this.#tell(counter) })
  }

  inc(labels: Labels<Label>, value = 1): void {
    this.of(labels).inc(value)
  }

  /** For who counts the same again and again. Shown from now on, if only as 0. */
  of(labels: Labels<Label>): Pick<Count<Label>, "inc"> {
    return this.#counts.of(labels)
  }

  #tell(counter: Counter<Label>): void {
    for (const count of this.#counts.all()) {
      counter.inc(count.labels, count.untold)
      count.untold = 0
    }
  }
}
