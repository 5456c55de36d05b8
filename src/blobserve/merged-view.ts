import type { LayerEntry, LayerTree } from "../archive/layer-entry.ts"
import {
  ancestorsOf,
  cleanPath,
  isWhiteoutName,
  joinPath,
  type LayerPath,
  opaqueMarkerOf,
  parentOf,
  whiteoutOf,
} from "../archive/layer-path.ts"

/** The layers of an image, the uppermost first. Null: one that nobody has needed so far. */
export type LayerStack = readonly (LayerTree | null)[]

export type Resolved =
  | { readonly kind: "file"; readonly entry: LayerEntry; readonly layer: number }
  | { readonly kind: "directory" }
  | { readonly kind: "absent" }
  /** More of this layer has to be known before it can be told. */
  | { readonly kind: "undecided"; readonly layer: number }

type Node =
  | { readonly kind: "entry"; readonly entry: LayerEntry; readonly layer: number }
  /** A directory without an entry of its own. */
  | { readonly kind: "implied" }
  | Extract<Resolved, { readonly kind: "absent" | "undecided" }>

const MAX_LINKS = 40
const ABSENT = { kind: "absent" } as const
const IMPLIED = { kind: "implied" } as const
const DIRECTORY = { kind: "directory" } as const

/**
 * What a path is in the merged layers of an image (image-spec: layer.md), all its links followed inside the image. Layers
 * are looked at from the top down, and no further than to the one that decides.
 */
export function resolvePath(stack: LayerStack, path: LayerPath): Resolved {
  if (path.split("/").some(isWhiteoutName)) return ABSENT
  if (path === "") return DIRECTORY
  const direct = target(stack, findNode(stack, path))
  if (direct.kind === "undecided") return direct
  if (direct.kind === "entry" && direct.entry.type !== "symlink") return settled(direct)
  return walk(stack, path)
}

interface Walk {
  /** A directory, without links on the way to it. */
  done: LayerPath
  todo: string[]
  links: number
}

/** Component by component, as an operating system does. */
function walk(stack: LayerStack, path: LayerPath): Resolved {
  const way: Walk = { done: "", todo: path.split("/"), links: 0 }
  while (way.todo.length > 0) {
    const end = step(stack, way)
    if (end !== null) return end
  }
  return DIRECTORY
}

/** Null: there is more to walk. */
function step(stack: LayerStack, way: Walk): Resolved | null {
  const next = way.todo.shift() ?? ""
  const here = next === ".." ? parentOf(way.done) : joinPath(way.done, next)
  const node = next === ".." ? IMPLIED : target(stack, findNode(stack, here))
  if (node.kind === "absent" || node.kind === "undecided") return node
  if (node.kind === "entry" && node.entry.type === "symlink") return follow(way, node.entry)
  if (node.kind === "entry" && node.entry.type !== "directory") return way.todo.length === 0 ? settled(node) : ABSENT
  way.done = here
  return null
}

function follow(way: Walk, { link }: LayerEntry): Resolved | null {
  way.links += 1
  if (way.links > MAX_LINKS || link === "") return ABSENT
  if (link.startsWith("/")) way.done = ""
  way.todo.unshift(...link.split("/").filter((part) => part !== "" && part !== "."))
  return null
}

function settled({ entry, layer }: Extract<Node, { kind: "entry" }>): Resolved {
  if (entry.type === "directory") return DIRECTORY
  return entry.type === "file" ? { kind: "file", entry, layer } : ABSENT
}

/** A link to a file of a lower layer stands for what that was when its own layer was put on top. */
function target(stack: LayerStack, node: Node): Node {
  let found = node
  while (found.kind === "entry" && found.entry.type === "hardlink") {
    found = findNode(stack, cleanPath(found.entry.link), found.layer + 1)
    if (found.kind === "implied" || (found.kind === "entry" && found.entry.type === "directory")) return ABSENT
  }
  return found
}

/** What stands at exactly this path, from layer `from` downwards; links are not followed. */
function findNode(stack: LayerStack, path: LayerPath, from = 0): Node {
  let above: Node = ABSENT
  for (let layer = from; layer < stack.length; layer += 1) {
    const tree = stack[layer] ?? null
    const found = entryOf(tree, path, layer)
    if (found.kind === "entry" && above === IMPLIED && !mayBeBelow(found.entry)) return IMPLIED
    if (tree === null || found.kind !== "absent") return found
    if (tree.hasBelow(path)) above = IMPLIED
    if (hidesBelow(tree, path)) break
  }
  return above
}

function entryOf(tree: LayerTree | null, path: LayerPath, layer: number): Exclude<Node, typeof IMPLIED> {
  const entry = tree?.find(path) ?? null
  if (entry !== null) return { kind: "entry", entry, layer }
  return tree?.isComplete === true ? ABSENT : { kind: "undecided", layer }
}

/** Runtimes put what is below a directory without an entry through a symlink of a lower layer. */
const mayBeBelow = ({ type }: LayerEntry): boolean => type === "directory" || type === "symlink"

/** True when a layer lets nothing of the layers below it be seen at a path. */
function hidesBelow(tree: LayerTree, path: LayerPath): boolean {
  if (tree.find(whiteoutOf(path)) !== null || tree.find(opaqueMarkerOf("")) !== null) return true
  for (const ancestor of ancestorsOf(path)) {
    const entry = tree.find(ancestor)
    if (entry !== null && entry.type !== "directory") return true
    if (tree.find(whiteoutOf(ancestor)) !== null || tree.find(opaqueMarkerOf(ancestor)) !== null) return true
  }
  return false
}
