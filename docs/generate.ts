import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { configSchema } from "../src/config/schema.ts"

/** Writes the tables of configuration.md from the schema: `bun docs/generate.ts`. */
export const PAGE = join(import.meta.dir, "configuration.md")
const BEGIN = "<!-- From here on written by docs/generate.ts -->"

/** What the generator reads of a JSON Schema. */
interface Schema {
  readonly type?: string
  readonly const?: string
  readonly anyOf?: readonly Schema[]
  readonly items?: Schema
  readonly properties?: Readonly<Record<string, Schema>>
  readonly patternProperties?: Readonly<Record<string, Schema>>
  readonly required?: readonly string[]
  readonly expected?: string
  readonly default?: unknown
  readonly description?: string
}

interface Section {
  readonly path: readonly string[]
  readonly schema: Schema
}

/** The page with its tables as they should be; what people wrote above them stays. */
export function generatePage(page: string): string {
  const written = page.split(BEGIN)[0] ?? ""
  const tables = sectionsOf({ path: [], schema: configSchema as Schema }).map(sectionText)
  return `${written}${BEGIN}\n\n${tables.join("\n")}`
}

/** An object and those inside it, each after its parent. */
function sectionsOf(section: Section): readonly Section[] {
  const inner = Object.entries(section.schema.properties ?? {}).flatMap(([key, schema]) =>
    objectsIn(schema).map(({ suffix, object }) => ({ path: [...section.path, `${key}${suffix}`], schema: object })),
  )
  return [section, ...inner.flatMap(sectionsOf)]
}

interface Inner {
  /** What stands behind the key on the way to the object. */
  readonly suffix: string
  readonly object: Schema
}

function objectsIn(schema: Schema): readonly Inner[] {
  if (schema.properties !== undefined) return [{ suffix: "", object: schema }]
  if (schema.items !== undefined) return objectsIn(schema.items).map(behind("[]"))
  const [value] = Object.values(schema.patternProperties ?? {})
  if (value !== undefined) return objectsIn(value).map(behind(".<name>"))
  // A list or one alone: the list says it all
  const alternatives = schema.anyOf ?? []
  return (alternatives.find(({ items }) => items !== undefined)?.items?.anyOf ?? alternatives)
    .flatMap(objectsIn)
    .map(behind(alternatives.some(({ items }) => items !== undefined) ? "[]" : ""))
}

const behind =
  (text: string) =>
  ({ suffix, object }: Inner): Inner => ({ suffix: `${text}${suffix}`, object })

function sectionText({ path, schema }: Section): string {
  const title = path.length === 0 ? "The file" : `\`${path.join(".")}\``
  const rows = Object.entries(schema.properties ?? {}).map(([key, field]) => {
    const isRequired = schema.required?.includes(key) === true
    const cells = [`\`${key}\``, typeOf(field), defaultOf(field, isRequired), whatIs(field)]
    return `| ${cells.join(" | ")} |\n`
  })
  const what = path.length === 0 || schema.description === undefined ? "" : `${prose(schema.description)}\n\n`
  return `## ${title}\n\n${what}| key | type | default | meaning |\n|---|---|---|---|\n${rows.join("")}`
}

function typeOf({ anyOf, const: constant, expected, items, patternProperties, properties, type }: Schema): string {
  if (constant !== undefined) return `\`"${constant}"\``
  if (properties !== undefined) return "object"
  if (patternProperties !== undefined) return "object by name"
  if (items !== undefined) return `list of ${plural(typeOf(items))}`
  if (anyOf !== undefined) return [...new Set(anyOf.map(typeOf))].join(" or ")
  if (expected?.startsWith("a duration") === true) return "duration"
  return type ?? "any"
}

const plural = (type: string): string => (/^[a-z]+$/.test(type) ? `${type}s` : type)

function defaultOf(schema: Schema, isRequired: boolean): string {
  if (isRequired) return "required"
  return schema.default === undefined ? "" : `\`${JSON.stringify(schema.default)}\``
}

function whatIs({ description, expected }: Schema): string {
  const form = expected === undefined || expected.startsWith("a duration") ? "" : ` Form: ${expected}.`
  return prose(`${description ?? ""}${form}`)
}

/** What would be a tag, or end a cell, is shown as it is. */
const prose = (text: string): string => text.replaceAll("<", "&lt;").replaceAll("|", "\\|")

if (import.meta.main) {
  writeFileSync(PAGE, generatePage(readFileSync(PAGE, "utf8")))
  console.log(`Written: ${PAGE}`)
}
