import {
  findNodeAtLocation,
  getNodePath,
  type Node,
  type ParseError,
  parseTree,
  printParseErrorCode,
} from "jsonc-parser"

/** A step from the root of a document to a place in it. */
export type JsonPath = readonly (string | number)[]

export interface JsonText {
  readonly value: unknown
  /** The line, from 1, where the value at `path` (or the nearest place above it) stands. */
  lineOf(path: JsonPath): number
}

/** Parses JSON that people write. Throws SyntaxError that names the line; a key that stands twice is one. */
export function parseJsonText(text: string): JsonText {
  const source = text.startsWith("\uFEFF") ? text.slice(1) : text
  if (source.trim() === "") throw new SyntaxError("line 1: expected JSON, the document is empty")
  const faults: ParseError[] = []
  const root = parseTree(source, faults, { disallowComments: true, allowTrailingComma: false })
  const [fault] = faults
  if (fault !== undefined) throw new SyntaxError(`line ${lineAt(source, fault.offset)}: ${faultText(fault)}`)
  if (root === undefined) throw new SyntaxError("line 1: expected JSON")
  rejectDuplicates(root, source)
  return { value: JSON.parse(source), lineOf: (path) => lineAt(source, offsetOf(root, path)) }
}

/** "registry.upstreams["ghcr.io"].ca" */
export function formatJsonPath(path: JsonPath): string {
  const text = path.map((step) => {
    if (typeof step === "number") return `[${step}]`
    return /^[A-Za-z_$][\w$]*$/.test(step) ? `.${step}` : `[${JSON.stringify(step)}]`
  })
  return text.join("").replace(/^\./, "")
}

/** "PropertyNameExpected" becomes "property name expected". */
const faultText = ({ error }: ParseError): string =>
  printParseErrorCode(error)
    .replace(/(?!^)([A-Z])/g, " $1")
    .toLowerCase()

const lineAt = (text: string, offset: number): number => text.slice(0, offset).split("\n").length

function offsetOf(root: Node, path: JsonPath): number {
  for (let length = path.length; length > 0; length -= 1) {
    const node = findNodeAtLocation(root, path.slice(0, length))
    if (node !== undefined) return node.parent?.type === "property" ? node.parent.offset : node.offset
  }
  return root.offset
}

function rejectDuplicates(node: Node, text: string): void {
  const seen = new Set<string>()
  for (const child of node.children ?? []) {
    const key = child.type === "property" ? child.children?.[0]?.value : undefined
    if (key !== undefined && seen.has(key)) {
      const where = formatJsonPath([...getNodePath(node), key])
      throw new SyntaxError(`line ${lineAt(text, child.offset)}: ${where} stands twice`)
    }
    if (key !== undefined) seen.add(key)
    rejectDuplicates(child, text)
  }
}
