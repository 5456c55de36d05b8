import { Histogram, type Registry } from "prom-client"
import { ByLabels, type LabelNames, type Labels, nameList } from "./by-labels.ts"

interface BusyHistogramOptions<Label extends string> {
  readonly name: string
  readonly help: string
  readonly labelNames: LabelNames<Label>
  /** Upper bounds, the lowest first. */
  readonly buckets: readonly number[]
  readonly registers: Registry[]
}

class Tally<Label extends string> {
  readonly labels: Labels<Label>
  readonly #bounds: readonly number[]
  /** One for each bound, without those of the buckets below. */
  readonly counts: number[]
  count = 0
  sum = 0

  constructor(labels: Labels<Label>, bounds: readonly number[]) {
    this.labels = labels
    this.#bounds = bounds
    this.counts = bounds.map(() => 0)
  }

  add(value: number): void {
    this.count += 1
    this.sum += value
    let bucket = 0
    while (value > (this.#bounds[bucket] ?? Number.POSITIVE_INFINITY)) bucket += 1
    if (bucket < this.counts.length) this.counts[bucket] = (this.counts[bucket] ?? 0) + 1
  }
}

/** A histogram of what every request takes. As BusyCounter, but prom-client can be told nothing in bulk: the numbers are here. */
export class BusyHistogram<Label extends string> extends Histogram<Label> {
  readonly #about: { readonly name: string; readonly help: string }
  readonly #bounds: readonly number[]
  readonly #tallies: ByLabels<Label, Tally<Label>>

  constructor(options: BusyHistogramOptions<Label>) {
    super({ ...options, labelNames: nameList(options.labelNames), buckets: [...options.buckets] })
    const { buckets, help, labelNames, name } = options
    this.#about = { name, help }
    this.#bounds = buckets
    this.#tallies = new ByLabels(labelNames, (labels) => new Tally(labels, buckets))
  }

  /** In place of `observe`. */
  add(labels: Labels<Label>, value: number): void {
    this.of(labels).add(value)
  }

  /** For who has the same labels again and again. Shown from now on, if only as 0. */
  of(labels: Labels<Label>): Pick<Tally<Label>, "add"> {
    return this.#tallies.of(labels)
  }

  /** Behind everything that prom-client shows of a histogram; its declarations leave this out. */
  async getForPromString() {
    const { help, name } = this.#about
    const values = this.#tallies.all().flatMap((tally) => this.#series(tally))
    return { name, help, type: "histogram", values, aggregator: "sum" }
  }

  #series({ count, counts, labels: sharedLabels, sum }: Tally<Label>) {
    const { name } = this.#about
    let below = 0
    const buckets = this.#bounds.map((le, bucket) => {
      below += counts[bucket] ?? 0
      return { metricName: `${name}_bucket`, labels: { le }, sharedLabels, value: below }
    })
    return [
      ...buckets,
      { metricName: `${name}_bucket`, labels: { le: "+Inf" }, sharedLabels, value: count },
      { metricName: `${name}_sum`, labels: {}, sharedLabels, value: sum },
      { metricName: `${name}_count`, labels: {}, sharedLabels, value: count },
    ]
  }
}
