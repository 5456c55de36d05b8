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

interface Tally<Label extends string> {
  readonly labels: Labels<Label>
  /** One for each bound, without those of the buckets below. */
  readonly counts: number[]
  count: number
  sum: number
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
    this.#tallies = new ByLabels(labelNames, (labels) => ({ labels, counts: buckets.map(() => 0), count: 0, sum: 0 }))
  }

  /** In place of `observe`. */
  add(labels: Labels<Label>, value: number): void {
    const tally = this.#tallies.of(labels)
    tally.count += 1
    tally.sum += value
    let bucket = 0
    while (value > (this.#bounds[bucket] ?? Number.POSITIVE_INFINITY)) bucket += 1
    if (bucket < tally.counts.length) tally.counts[bucket] = (tally.counts[bucket] ?? 0) + 1
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
