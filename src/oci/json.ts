import { type Node, parseTree } from "jsonc-parser"

/**
 * JSON as it was written: order of members, spelling of numbers and strings, unknown and integer-like keys all
 * survive, which JavaScript objects cannot promise. Values are immutable; editing makes a new document.
 */
export type Json = JsonObject | JsonArray | JsonScalar

export interface JsonObject {
  readonly kind: "object"
  readonly members: readonly JsonMember[]
}

export interface JsonMember {
  readonly key: string
  /** The key as it was spelled, with its quotes. */
  readonly rawKey: string
  readonly value: Json
}

export interface JsonArray {
  readonly kind: "array"
  readonly items: readonly Json[]
}

export interface JsonScalar {
  readonly kind: "scalar"
  /** The literal as it was spelled. */
  readonly raw: string
  readonly value: string | number | boolean | null
}

const MAX_DEPTH = 64
/** Far more than the largest image has; a tree of what fits into 4 MiB would take a gigabyte. */
const MAX_VALUES = 250_000

/**
 * Parses UTF-8 JSON (RFC 8259) strictly. Throws SyntaxError on invalid UTF-8, a byte order mark, a duplicate key
 * (RFC 7493, 2.3), nesting deeper than 64, or more than 250000 values.
 */
export function parseJson(bytes: Uint8Array): Json {
  const text = decodeUtf8(bytes)
  checkShape(text)
  JSON.parse(text) // the strict grammar; the tree below only adds where everything stands
  const root = parseTree(text)
  if (root === undefined) throw new SyntaxError("Cannot parse JSON: the document is empty")
  return fromNode(root, text)
}

/** Compact: no white space between tokens, no newline at the end. */
export function printJson(json: Json): string {
  switch (json.kind) {
    case "scalar":
      return json.raw
    case "array":
      return `[${json.items.map(printJson).join(",")}]`
    case "object":
      return `{${json.members.map(({ rawKey, value }) => `${rawKey}:${printJson(value)}`).join(",")}}`
    default:
      return json satisfies never
  }
}

/** Makes a document of plain values; members that are undefined are left out. */
export function toJson(value: unknown): Json {
  if (Array.isArray(value)) return { kind: "array", items: value.map(toJson) }
  if (typeof value === "object" && value !== null) {
    const entries = Object.entries(value).filter(([, member]) => member !== undefined)
    return { kind: "object", members: entries.map(([key, member]) => newMember(key, toJson(member))) }
  }
  if (value === null || typeof value === "string" || typeof value === "number" || typeof value === "boolean") {
    return { kind: "scalar", raw: JSON.stringify(value), value }
  }
  throw new TypeError(`Cannot make JSON of a ${typeof value}`)
}

/** Null: there is no such member, or `json` is no object. */
export function getMember(json: Json | null, key: string): Json | null {
  if (json?.kind !== "object") return null
  return json.members.find((member) => member.key === key)?.value ?? null
}

/** Replaces the member where it stands, or appends it. */
export const withMember = (object: JsonObject, key: string, value: Json): JsonObject =>
  withMembers(object, new Map([[key, value]]))

/** Replaces members where they stand, and appends the others in their order. */
export function withMembers(object: JsonObject, values: ReadonlyMap<string, Json>): JsonObject {
  const rest = new Map(values)
  const members = object.members.map((member) => {
    const value = rest.get(member.key)
    rest.delete(member.key)
    return value === undefined ? member : { ...member, value }
  })
  return { kind: "object", members: [...members, ...[...rest].map(([key, value]) => newMember(key, value))] }
}

/** The members that texts make. */
export const textMembers = (texts: Readonly<Record<string, string>>): ReadonlyMap<string, Json> =>
  new Map(Object.entries(texts).map(([key, text]) => [key, toJson(text)]))

export function withoutMembers(object: JsonObject, ...keys: readonly string[]): JsonObject {
  return { kind: "object", members: object.members.filter(({ key }) => !keys.includes(key)) }
}

export const asObject = (json: Json | null): JsonObject | null => (json?.kind === "object" ? json : null)

/** The items of an array; none for null, which documents use for an empty list. */
export const asItems = (json: Json | null): readonly Json[] => (json?.kind === "array" ? json.items : [])

export const asString = (json: Json | null): string | null =>
  json?.kind === "scalar" && typeof json.value === "string" ? json.value : null

/** Null for what is no integer between 0 and 2^53 - 1. */
export function asSize(json: Json | null): number | null {
  if (json?.kind !== "scalar" || typeof json.value !== "number" || !/^(?:0|[1-9][0-9]*)$/.test(json.raw)) return null
  return Number.isSafeInteger(json.value) ? json.value : null
}

const newMember = (key: string, value: Json): JsonMember => ({ key, rawKey: JSON.stringify(key), value })

function decodeUtf8(bytes: Uint8Array): string {
  const text = decodeFatally(bytes)
  if (text.startsWith("\uFEFF")) throw new SyntaxError("Cannot parse JSON: it begins with a byte order mark")
  return text
}

function decodeFatally(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch (cause) {
    throw new SyntaxError("Cannot parse JSON: it is not valid UTF-8", { cause })
  }
}

const STEPS: Readonly<Record<string, number>> = { "{": 1, "[": 1, "}": -1, "]": -1 }

/** Before any recursion, in one pass: a document from elsewhere must exhaust neither the stack, nor memory, nor time. */
function checkShape(text: string): void {
  let depth = 0
  let values = 1
  for (let index = 0; index < text.length; index += 1) {
    const character = text.charAt(index)
    const step = STEPS[character] ?? 0
    if (character === '"') index = endOfString(text, index)
    if (character === "," || step === 1) values += 1
    depth += step
    if (depth > MAX_DEPTH) throw new SyntaxError(`Cannot parse JSON: it is nested deeper than ${MAX_DEPTH}`)
    if (values > MAX_VALUES) throw new SyntaxError(`Cannot parse JSON: it has more than ${MAX_VALUES} values`)
  }
}

/** The closing quote of the string that opens at `start`, or the end of the text. */
function endOfString(text: string, start: number): number {
  let index = start + 1
  while (index < text.length && text[index] !== '"') index += text[index] === "\\" ? 2 : 1
  return index
}

function fromNode(node: Node, text: string): Json {
  const children = node.children ?? []
  if (node.type === "array") return { kind: "array", items: children.map((child) => fromNode(child, text)) }
  if (node.type === "object") return fromObject(children, text)
  return { kind: "scalar", raw: text.slice(node.offset, node.offset + node.length), value: node.value }
}

function fromObject(properties: readonly Node[], text: string): JsonObject {
  const seen = new Set<string>()
  const members = properties.map(({ children: [key, value] = [] }) => {
    if (key === undefined || value === undefined) throw new SyntaxError("Cannot parse JSON: a member has no value")
    if (seen.has(key.value))
      throw new SyntaxError(`Cannot parse JSON: the key ${JSON.stringify(key.value)} stands twice`)
    seen.add(key.value)
    return { key: key.value, rawKey: text.slice(key.offset, key.offset + key.length), value: fromNode(value, text) }
  })
  return { kind: "object", members }
}
