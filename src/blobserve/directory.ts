import { byBytes } from "../archive/layer-entries.ts"
import type { LayerEntry, LayerTree } from "../archive/layer-entry.ts"
import type { LayerIndex } from "../archive/layer-index.ts"
import { isWhiteoutName, joinPath, type LayerPath, opaqueMarkerOf, whiteoutOf } from "../archive/layer-path.ts"

/** One name of a directory in one layer. Layers are counted from the lowest, 0. */
export interface DirectoryItem {
  readonly name: string
  readonly path: LayerPath
  readonly layer: number
  /** Null: a directory without an entry of its own. */
  readonly entry: LayerEntry | null
  /** What an upper layer does to it; null: it is seen in the image. */
  readonly fate: { readonly kind: "replaced" | "removed"; readonly by: number } | null
}

/**
 * What every layer has in a directory, in the order of names, the uppermost first; also what cannot be seen in the image
 * because an upper layer replaces or removes it. Directories that several layers have in common are given once.
 */
export function listDirectory(layers: readonly LayerIndex[], path: LayerPath): readonly DirectoryItem[] {
  const items: DirectoryItem[] = []
  for (let layer = layers.length - 1; layer >= 0; layer -= 1) {
    for (const { name, entry } of layers[layer]?.children(path) ?? []) {
      if (isWhiteoutName(name)) continue
      const place = joinPath(path, name)
      const fate = fateOf(layers, place, { layer, isDirectory: isDirectory(entry) })
      const isMerged = fate === null && items.some((other) => other.path === place && other.fate === null)
      if (!isMerged) items.push({ name, path: place, layer, entry, fate })
    }
  }
  return items.toSorted((one, other) => byBytes(one.name, other.name) || other.layer - one.layer)
}

const isDirectory = (entry: LayerEntry | null): boolean => entry === null || entry.type === "directory"

/** What the nearest layer above that has something to say does to a path. */
export function fateOf(
  layers: readonly LayerTree[],
  path: LayerPath,
  { layer, isDirectory: isDirectoryHere }: { readonly layer: number; readonly isDirectory: boolean },
): DirectoryItem["fate"] {
  const prefixes = prefixesOf(path)
  for (let above = layer + 1; above < layers.length; above += 1) {
    const tree = layers[above]
    if (tree === undefined) continue
    if (removes(tree, prefixes)) return { kind: "removed", by: above }
    if (replaces(tree, prefixes, isDirectoryHere)) return { kind: "replaced", by: above }
  }
  return null
}

/** The path itself last. */
function prefixesOf(path: LayerPath): readonly LayerPath[] {
  const parts = path.split("/")
  return parts.map((_, at) => parts.slice(0, at + 1).join("/"))
}

function removes(tree: LayerTree, prefixes: readonly LayerPath[]): boolean {
  if (tree.find(opaqueMarkerOf("")) !== null) return true
  return prefixes.some(
    (prefix, at) =>
      tree.find(whiteoutOf(prefix)) !== null ||
      (at < prefixes.length - 1 && tree.find(opaqueMarkerOf(prefix)) !== null),
  )
}

/** A directory stays under another directory; everything else is replaced by whatever has its name, or an ancestor's. */
function replaces(tree: LayerTree, prefixes: readonly LayerPath[], isDirectoryHere: boolean): boolean {
  return prefixes.some((prefix, at) => {
    const entry = tree.find(prefix)
    if (entry === null) return false
    const mayStay = entry.type === "directory" && (at < prefixes.length - 1 || isDirectoryHere)
    return !mayStay
  })
}
