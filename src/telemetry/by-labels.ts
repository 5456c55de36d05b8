export type LabelValue = string | number
/** One or two. */
export type LabelNames<Label extends string> = readonly [Label, Label?]
export type Labels<Label extends string> = Readonly<Record<Label, LabelValue>>

/** Something for each combination of labels, found without making a text of them. */
export class ByLabels<Label extends string, Item> {
  readonly #first: Label
  readonly #second: Label | undefined
  readonly #make: (labels: Labels<Label>) => Item
  readonly #items = new Map<LabelValue, Map<LabelValue | null, Item>>()

  constructor([first, second]: LabelNames<Label>, make: (labels: Labels<Label>) => Item) {
    this.#first = first
    this.#second = second
    this.#make = make
  }

  of(labels: Labels<Label>): Item {
    const first = labels[this.#first]
    const second = this.#second === undefined ? null : labels[this.#second]
    return this.#items.get(first)?.get(second) ?? this.#add(first, second, labels)
  }

  #add(first: LabelValue, second: LabelValue | null, labels: Labels<Label>): Item {
    const item = this.#make(labels)
    const ofFirst = this.#items.get(first) ?? new Map<LabelValue | null, Item>()
    this.#items.set(first, ofFirst.set(second, item))
    return item
  }

  all(): readonly Item[] {
    return [...this.#items.values()].flatMap((ofFirst) => [...ofFirst.values()])
  }
}

/** As prom-client wants them. */
export const nameList = <Label extends string>([first, second]: LabelNames<Label>): Label[] =>
  second === undefined ? [first] : [first, second]
