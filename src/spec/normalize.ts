import { type TSchema, Type } from "@sinclair/typebox"
import type { JsonPath } from "../lib/json-text.ts"

const ANYTHING: TSchema = Type.Unknown()

/**
 * Reads a document as protobuf's JSON mapping allows it: keys in lowerCamel or snake_case, and null for what is absent.
 * Keys of maps (variables, labels, files) are data and stay as they are.
 */
export function normalizeKeys(schema: TSchema, value: unknown): unknown {
  if (Array.isArray(value)) return value.map((item) => normalizeKeys(schema["items"] ?? ANYTHING, item))
  if (typeof value !== "object" || value === null) return value
  const entries = Object.entries(value).filter(([, member]) => member !== null)
  const properties: Readonly<Record<string, TSchema>> | undefined = schema["properties"]
  if (properties === undefined) {
    const values = Object.values<TSchema>(schema["patternProperties"] ?? {})[0] ?? ANYTHING
    return Object.fromEntries(entries.map(([key, member]) => [key, normalizeKeys(values, member)]))
  }
  const spelled = entries.map(([key, member]) => {
    const camel = camelCase(key)
    const isOther = Object.hasOwn(properties, camel) && !Object.hasOwn(value, camel) // both: one must be told as unknown
    const name = isOther ? camel : key
    return [name, normalizeKeys(properties[name] ?? ANYTHING, member)] as const
  })
  return Object.fromEntries(spelled)
}

/** The way to the same place in the document as it is spelled. */
export function spelledPath(path: JsonPath, document: unknown): JsonPath {
  let place = document
  return path.map((step) => {
    const keys = typeof place === "object" && place !== null ? Object.keys(place) : []
    const isThere = typeof step === "number" || keys.includes(step)
    const spelled = isThere ? step : (keys.find((key) => camelCase(key) === step) ?? step)
    place = typeof place === "object" && place !== null ? Reflect.get(place, spelled) : undefined
    return spelled
  })
}

const camelCase = (key: string): string => key.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())
