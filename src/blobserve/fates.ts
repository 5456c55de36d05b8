import type { LayerTree } from "../archive/layer-entry.ts"
import { type LayerPath, opaqueMarkerOf, parentOf, whiteoutOf } from "../archive/layer-path.ts"

/** What an upper layer does to an entry; null: it is seen in the image. */
export type Fate = { readonly kind: "replaced" | "removed"; readonly by: number } | null

/** What upper layers do to the entries of a layer. Asked in the order of paths, it looks at each directory once. */
export class Fates {
  readonly #layers: readonly LayerTree[]
  readonly #layer: number
  /** Of everything in the directories on the way to what was asked for last, the root first. */
  readonly #way: { readonly dir: LayerPath; readonly fate: Fate }[]
  #looks = 0

  /** Layers are counted from the lowest, 0. */
  constructor(layers: readonly LayerTree[], layer: number) {
    this.#layers = layers
    this.#layer = layer
    this.#way = [{ dir: "", fate: this.#nearest(null, (tree) => clears(tree, "")) }]
  }

  /** How often a layer was looked into. */
  get looks(): number {
    return this.#looks
  }

  /** What the nearest layer above that has something to say does to a path. */
  of(path: LayerPath, isDirectory: boolean): Fate {
    return this.#nearest(this.#below(parentOf(path)), (tree) => fateIn(tree, path, isDirectory))
  }

  #below(dir: LayerPath): Fate {
    const way = this.#way
    const top = () => way.at(-1) ?? { dir: "", fate: null }
    while (way.length > 1 && !`${dir}/`.startsWith(`${top().dir}/`)) way.pop()
    while (top().dir.length < dir.length) {
      const { dir: above, fate } = top()
      const slash = dir.indexOf("/", above === "" ? 0 : above.length + 1)
      const next = slash === -1 ? dir : dir.slice(0, slash)
      way.push({ dir: next, fate: this.#nearest(fate, (tree) => clears(tree, next) ?? fateIn(tree, next, true)) })
    }
    return top().fate
  }

  /** The fate that the nearer layer gives; of two by the same layer, the removal. */
  #nearest(known: Fate, look: (tree: LayerTree) => Kind | null): Fate {
    const last = known?.by ?? this.#layers.length - 1
    for (let by = this.#layer + 1; by <= last; by += 1) {
      const tree = this.#layers[by]
      const kind = tree === undefined ? null : look(tree)
      this.#looks += 1
      if (kind !== null) return by === known?.by && kind === "replaced" ? known : { kind, by }
    }
    return known
  }
}

type Kind = NonNullable<Fate>["kind"]

const clears = (tree: LayerTree, dir: LayerPath): Kind | null =>
  tree.find(opaqueMarkerOf(dir)) === null ? null : "removed"

/** A directory stays under another directory; everything else is replaced by whatever has its name. */
function fateIn(tree: LayerTree, path: LayerPath, isDirectory: boolean): Kind | null {
  if (tree.find(whiteoutOf(path)) !== null) return "removed"
  const entry = tree.find(path)
  return entry === null || (entry.type === "directory" && isDirectory) ? null : "replaced"
}
