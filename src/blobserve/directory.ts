import type { LayerChild, LayerEntry } from "../archive/layer-entry.ts"
import type { LayerIndex } from "../archive/layer-index.ts"
import { isWhiteoutName, joinPath, type LayerPath, PAST_WHITEOUTS } from "../archive/layer-path.ts"
import { Turns } from "../lib/turns.ts"
import { type Fate, Fates } from "./fates.ts"

/** One name of a directory in one layer. Layers are counted from the lowest, 0. */
export interface DirectoryItem {
  readonly name: string
  readonly path: LayerPath
  readonly layer: number
  /** Null: a directory without an entry of its own. */
  readonly entry: LayerEntry | null
  readonly fate: Fate
}

/** A part of a directory. What one name stands for in all layers is never divided. */
export interface DirectoryPage {
  readonly items: readonly DirectoryItem[]
  /** The last name of this page, where another follows it. */
  readonly next: string | null
}

/** Far more than a person reads; what a million of them cost, one request must not. */
const MAX_ITEMS = 5000
/** Of paths and targets: a few thousand of the longest would make an answer of a hundred megabytes. */
const MAX_TEXT = 1024 * 1024

/**
 * What every layer has in a directory, from the first name after `after`, in the order of names, the uppermost first; also
 * what cannot be seen in the image because an upper layer replaces or removes it. Directories that several layers have in
 * common are given once.
 */
export async function listDirectory(
  layers: readonly LayerIndex[],
  path: LayerPath,
  after = "",
): Promise<DirectoryPage> {
  const columns = layers.map((_, layer) => new Column(layers, layer, { path, after })).toReversed()
  const turns = new Turns()
  const items: DirectoryItem[] = []
  let text = 0
  for (let name = lowest(columns); name !== null; name = lowest(columns)) {
    const added = await take(columns, name, turns)
    text += textOf(added)
    const last = items.at(-1)
    const isFull = items.length + added.length > MAX_ITEMS || text > MAX_TEXT
    if (last !== undefined && isFull) return { items, next: last.name }
    for (const item of added) items.push(item)
  }
  return { items, next: null }
}

/** Null: nothing is left. */
const lowest = (columns: readonly Column[]): string | null =>
  columns.reduce<string | null>((least, { child }) => {
    return child !== null && (least === null || child.name < least) ? child.name : least
  }, null)

async function take(columns: readonly Column[], name: string, turns: Turns): Promise<readonly DirectoryItem[]> {
  const items: DirectoryItem[] = []
  // To find it, each of its beginnings may have been looked for
  if (turns.spend(columns.length + name.length)) await Bun.sleep(0)
  for (const column of columns) {
    const before = column.looks
    const item = column.take(name)
    if (item !== null) items.push(item)
    if (turns.spend(column.looks - before)) await Bun.sleep(0)
  }
  const seen = items.find(({ fate }) => fate === null)
  return items.filter((item) => item.fate !== null || item === seen)
}

const textOf = (items: readonly DirectoryItem[]): number =>
  items.reduce((sum, { entry, path }) => sum + path.length + (entry?.link.length ?? 0), 0)

/** What one layer has in the directory, name by name. */
class Column {
  readonly #layers: readonly LayerIndex[]
  readonly #layer: number
  readonly #path: LayerPath
  #children: Iterator<LayerChild> | undefined
  #fates: Fates | null = null
  #child: LayerChild | null = null

  constructor(
    layers: readonly LayerIndex[],
    layer: number,
    { path, after }: { readonly path: LayerPath; readonly after: string },
  ) {
    this.#layers = layers
    this.#layer = layer
    this.#path = path
    this.#begin(after)
  }

  /** What is next. Null: nothing is left. */
  get child(): LayerChild | null {
    return this.#child
  }

  /** How often another layer was looked into. */
  get looks(): number {
    return this.#fates?.looks ?? 0
  }

  /** Null: something else is next. */
  take(name: string): DirectoryItem | null {
    if (this.#child?.name !== name) return null
    const { entry } = this.#child
    this.#advance()
    this.#fates ??= new Fates(this.#layers, this.#layer)
    const path = joinPath(this.#path, name)
    return { name, path, layer: this.#layer, entry, fate: this.#fates.of(path, isDirectory(entry)) }
  }

  #begin(after: string): void {
    this.#children = this.#layers[this.#layer]?.children(this.#path, after)
    this.#advance()
  }

  #advance(): void {
    const next = this.#children?.next()
    this.#child = next === undefined || next.done === true ? null : next.value
    if (this.#child !== null && isWhiteoutName(this.#child.name)) this.#begin(PAST_WHITEOUTS)
  }
}

const isDirectory = (entry: LayerEntry | null): boolean => entry === null || entry.type === "directory"
