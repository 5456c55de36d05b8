import type { LayerEntry, LayerTree } from "../archive/layer-entry.ts"
import {
  ancestorsOf,
  cleanPath,
  isWhiteoutName,
  joinPath,
  type LayerPath,
  opaqueMarkerOf,
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
/** Far more than a way in a real image has; links could make one that nobody waits for the end of. */
const MAX_STEPS = 1000
const ABSENT = { kind: "absent" } as const
const IMPLIED = { kind: "implied" } as const
const NOWHERE = { path: "", seen: 0 } as const
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

/** A directory, without links on the way to it. */
interface Place {
  readonly path: LayerPath
  /** How many layers, from the top, what is in it can come from. */
  readonly seen: number
}

interface Walk {
  /** The root first. */
  readonly done: Place[]
  readonly todo: string[]
  links: number
}

/** Component by component, as an operating system does. */
function walk(stack: LayerStack, path: LayerPath): Resolved {
  const root = { path: "", seen: seenIn(stack, "", stack.length) }
  const way: Walk = { done: [root], todo: path.split("/"), links: 0 }
  for (let steps = 0; way.todo.length > 0; steps += 1) {
    const end = steps < MAX_STEPS ? step(stack, way) : ABSENT
    if (end !== null) return end
  }
  return DIRECTORY
}

/** Null: there is more to walk. */
function step(stack: LayerStack, way: Walk): Resolved | null {
  const name = way.todo.shift() ?? ""
  return name === ".." ? goUp(way) : goDown(stack, way, name)
}

function goUp({ done }: Walk): null {
  if (done.length > 1) done.pop()
  return null
}

function goDown(stack: LayerStack, way: Walk, name: string): Resolved | null {
  const { done, todo } = way
  const parent = done.at(-1) ?? NOWHERE
  const path = joinPath(parent.path, name)
  const node = target(stack, findNode(stack, path, { to: parent.seen, hides: isRemoved }))
  if (node.kind === "absent" || node.kind === "undecided") return node
  if (node.kind === "entry" && node.entry.type === "symlink") return follow(way, node.entry)
  if (node.kind === "entry" && node.entry.type !== "directory") return todo.length === 0 ? settled(node) : ABSENT
  done.push({ path, seen: seenIn(stack, path, parent.seen) })
  return null
}

function follow(way: Walk, { link }: LayerEntry): Resolved | null {
  way.links += 1
  if (way.links > MAX_LINKS || link === "") return ABSENT
  if (link.startsWith("/")) way.done.length = 1
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
    found = findNode(stack, cleanPath(found.entry.link), { from: found.layer + 1 })
    if (found.kind === "implied" || (found.kind === "entry" && found.entry.type === "directory")) return ABSENT
  }
  return found
}

interface Span {
  readonly from?: number
  readonly to?: number
  /** True when a layer lets nothing of the layers below it be seen at the path. */
  readonly hides?: (tree: LayerTree, path: LayerPath) => boolean
}

/** What stands at exactly this path, from layer `from` downwards to before `to`; links are not followed. */
function findNode(
  stack: LayerStack,
  path: LayerPath,
  { from = 0, to = stack.length, hides = hidesBelow }: Span = {},
): Node {
  let above: Node = ABSENT
  for (let layer = from; layer < to; layer += 1) {
    const tree = stack[layer] ?? null
    const found = entryOf(tree, path, layer)
    if (found.kind === "entry" && above === IMPLIED && !mayBeBelow(found.entry)) return IMPLIED
    if (tree === null || found.kind !== "absent") return found
    if (tree.hasBelow(path)) above = IMPLIED
    if (hides(tree, path)) break
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

/** How many layers, from the top and of the first `above`, what is in a directory can come from. */
function seenIn(stack: LayerStack, dir: LayerPath, above: number): number {
  for (let layer = 0; layer < above; layer += 1) {
    const tree = stack[layer] ?? null
    if (tree === null || hidesIn(tree, dir)) return layer + 1
  }
  return above
}

const isRemoved = (tree: LayerTree, path: LayerPath): boolean => tree.find(whiteoutOf(path)) !== null

/** True when a layer lets nothing of the layers below it be seen in a directory. */
function hidesIn(tree: LayerTree, dir: LayerPath): boolean {
  if (tree.find(opaqueMarkerOf(dir)) !== null) return true
  if (dir === "") return false
  const entry = tree.find(dir)
  return (entry !== null && entry.type !== "directory") || isRemoved(tree, dir)
}

/** The same, for what stands at a path, wherever on the way to it that is decided. */
function hidesBelow(tree: LayerTree, path: LayerPath): boolean {
  if (isRemoved(tree, path) || hidesIn(tree, "")) return true
  for (const ancestor of ancestorsOf(path)) if (hidesIn(tree, ancestor)) return true
  return false
}
