import { type TSchema, Type } from "@sinclair/typebox"

const ANYTHING: TSchema = Type.Unknown()

/**
 * Reads a document as protobuf's JSON mapping allows it: keys in lowerCamel or snake_case, and null for what is absent.
 * Keys of maps (variables, labels, files) are data and stay as they are.
 */
export function normalizeKeys(schema: TSchema, value: unknown): unknown {
  if (Array.isArray(value)) return value.map((item) => normalizeKeys(schema["items"] ?? ANYTHING, item))
  if (typeof value !== "object" || value === null) return value
  const entries = Object.entries(value).filter(([, member]) => member !== null)
  return Object.fromEntries(entries.map(([key, member]) => normalizeMember(schema, key, member)))
}

function normalizeMember(schema: TSchema, key: string, value: unknown): readonly [string, unknown] {
  const properties: Readonly<Record<string, TSchema>> | undefined = schema["properties"]
  if (properties === undefined)
    return [key, normalizeKeys(Object.values<TSchema>(schema["patternProperties"] ?? {})[0] ?? ANYTHING, value)]
  const camel = key.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())
  const name = Object.hasOwn(properties, key) ? key : Object.hasOwn(properties, camel) ? camel : key
  return [name, normalizeKeys(properties[name] ?? ANYTHING, value)]
}
