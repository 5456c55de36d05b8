import { Counter, type Registry } from "prom-client"
import { ByLabels, type LabelNames, type Labels, nameList } from "./by-labels.ts"

interface BusyCounterOptions<Label extends string> {
  readonly name: string
  readonly help: string
  readonly labelNames: LabelNames<Label>
  readonly registers: Registry[]
}

/**
 * A counter of what every request does. prom-client makes a text of the labels each time, which costs more than the rest
 * of counting: here the numbers add up beside it, and it is told when somebody looks.
 */
export class BusyCounter<Label extends string> {
  readonly #untold: ByLabels<Label, { readonly labels: Labels<Label>; count: number }>

  constructor(options: BusyCounterOptions<Label>) {
    this.#untold = new ByLabels(options.labelNames, (labels) => ({ labels, count: 0 }))
    const labelNames = nameList(options.labelNames)
    const counter: Counter<Label> = new Counter({ ...options, labelNames, collect: () => this.#tell(counter) })
  }

  inc(labels: Labels<Label>, value = 1): void {
    this.#untold.of(labels).count += value
  }

  #tell(counter: Counter<Label>): void {
    for (const untold of this.#untold.all()) {
      counter.inc(untold.labels, untold.count)
      untold.count = 0
    }
  }
}
