import { byBytes } from "../archive/layer-entries.ts"
import type { LayerEntry } from "../archive/layer-entry.ts"
import type { LayerIndex } from "../archive/layer-index.ts"
import { isWhiteoutName, joinPath, type LayerPath } from "../archive/layer-path.ts"
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

/**
 * What every layer has in a directory, in the order of names, the uppermost first; also what cannot be seen in the image
 * because an upper layer replaces or removes it. Directories that several layers have in common are given once.
 */
export function listDirectory(layers: readonly LayerIndex[], path: LayerPath): readonly DirectoryItem[] {
  const items: DirectoryItem[] = []
  const seen = new Set<string>()
  for (let layer = layers.length - 1; layer >= 0; layer -= 1) {
    for (const item of itemsOf(layers, layer, path)) {
      if (item.fate !== null || !seen.has(item.name)) items.push(item)
      if (item.fate === null) seen.add(item.name)
    }
  }
  return items.toSorted((one, other) => byBytes(one.name, other.name) || other.layer - one.layer)
}

function* itemsOf(layers: readonly LayerIndex[], layer: number, path: LayerPath): Generator<DirectoryItem> {
  const fates = new Fates(layers, layer)
  for (const { name, entry } of layers[layer]?.children(path) ?? []) {
    if (isWhiteoutName(name)) continue
    const place = joinPath(path, name)
    yield { name, path: place, layer, entry, fate: fates.of(place, isDirectory(entry)) }
  }
}

const isDirectory = (entry: LayerEntry | null): boolean => entry === null || entry.type === "directory"
