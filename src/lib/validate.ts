import { Kind, type TObject, type TSchema } from "@sinclair/typebox"
import { Value, type ValueError, ValueErrorType } from "@sinclair/typebox/value"
import { findClosest } from "./closest.ts"
import { formatJsonPath, type JsonPath, type JsonText } from "./json-text.ts"
import { redactText } from "./redact.ts"

/** Something in a document that is not as it should be. */
export interface Problem {
  readonly path: JsonPath
  readonly message: string
}

/** A document that people have to correct; the message names the file, and for each problem its line and path. */
export class DocumentError extends Error {
  override readonly name = "DocumentError"

  constructor(file: string, text: JsonText, problems: readonly Problem[]) {
    const lines = problems.map(
      ({ path, message }) => `${file}:${text.lineOf(path)}: ${formatJsonPath(path) || "(document)"}: ${message}`,
    )
    super(lines.join("\n"))
  }
}

/** Compares plain JSON with a schema. What is of no known shape is told with what was expected. */
export function findProblems(schema: TSchema, value: unknown): readonly Problem[] {
  const problems = [...Value.Errors(schema, value)].flatMap((error) => toProblem({ schema, value }, error))
  const seen = new Set<string>()
  return problems.filter(({ path }) => {
    const key = formatJsonPath(path)
    if (seen.has(key)) return false
    seen.add(key)
    return true
  })
}

/** What is checked, from its root. */
interface Checked {
  readonly schema: TSchema
  readonly value: unknown
}

function toProblem(root: Checked, error: ValueError): readonly Problem[] {
  const path = parsePointer(error.path, root.value)
  if (error.type === ValueErrorType.ObjectAdditionalProperties) return [unknownKey(root.schema, path)]
  if (error.type === ValueErrorType.ObjectRequiredProperty) return [{ path, message: "is missing" }]
  if (error.type === ValueErrorType.Union) return unionProblems(root, error, path)
  return [{ path, message: `${expectation(error)}, got ${described(error.value)}` }]
}

/** Of the alternatives, the one that fits best tells what is wrong. */
function unionProblems(root: Checked, error: ValueError, path: JsonPath): readonly Problem[] {
  const deep = attemptsOf(error).filter((errors) => errors.every((inner) => inner.path !== error.path))
  const best = deep.toSorted((one, other) => one.length - other.length)[0]
  if (best !== undefined) return best.flatMap((inner) => toProblem(root, inner))
  return [{ path, message: `expected ${schemaText(error.schema)}, got ${described(error.value)}` }]
}

/** What each alternative has against the value; alternatives of alternatives are alternatives. */
function attemptsOf(error: ValueError): readonly (readonly ValueError[])[] {
  return error.errors.flatMap((errors) => {
    const attempt = [...errors]
    const nested = attempt.find((inner) => inner.type === ValueErrorType.Union && inner.path === error.path)
    return nested === undefined ? [attempt] : attemptsOf(nested)
  })
}

function unknownKey(schema: TSchema, path: JsonPath): Problem {
  const known = knownKeys(schema, path.slice(0, -1))
  const closest = findClosest(String(path.at(-1)), known)
  const hint = closest === null ? `known are ${known.join(", ")}` : `did you mean ${JSON.stringify(closest)}?`
  return { path, message: `unknown key, ${hint}` }
}

function knownKeys(schema: TSchema, path: JsonPath): readonly string[] {
  const objects = schemasAt([schema], path).filter((found): found is TObject => found[Kind] === "Object")
  return [...new Set(objects.flatMap(({ properties }) => Object.keys(properties)))]
}

function schemasAt(schemas: readonly TSchema[], path: JsonPath): readonly TSchema[] {
  const alternatives = schemas.flatMap((schema): readonly TSchema[] => schema["anyOf"] ?? [schema])
  const [step, ...rest] = path
  if (step === undefined) return alternatives
  const below = alternatives.flatMap((schema): readonly TSchema[] => {
    const found = schema["properties"]?.[step] ?? Object.values(schema["patternProperties"] ?? {})[0] ?? schema["items"]
    return found === undefined ? [] : [found as TSchema]
  })
  return schemasAt(below, rest)
}

function expectation({ schema, message }: ValueError): string {
  const text = schemaText(schema)
  return text === "" ? message.charAt(0).toLowerCase() + message.slice(1) : `expected ${text}`
}

/** How a schema is told to people; fields with a form of their own say it in `expected`. */
function schemaText(schema: TSchema): string {
  if (typeof schema["expected"] === "string") return schema["expected"]
  if ("const" in schema) return JSON.stringify(schema["const"])
  const alternatives: readonly TSchema[] = schema["anyOf"] ?? []
  if (alternatives.length > 0) return [...new Set(alternatives.map(schemaText))].join(" or ")
  const words: Readonly<Record<string, string>> = {
    string: "a string",
    boolean: "true or false",
    array: "a list",
    object: "an object",
    null: "null",
    integer: numberText("a whole number", schema),
    number: numberText("a number", schema),
  }
  return words[schema["type"]] ?? ""
}

function numberText(noun: string, { minimum, maximum }: TSchema): string {
  if (minimum !== undefined && maximum !== undefined) return `${noun} from ${minimum} to ${maximum}`
  return minimum === undefined ? noun : `${noun}, at least ${minimum}`
}

function described(value: unknown): string {
  if (value === undefined) return "nothing"
  if (value === null) return "null"
  if (Array.isArray(value)) return "a list"
  if (typeof value === "object") return "an object"
  const text = redactText(JSON.stringify(value))
  return text.length > 80 ? `${text.slice(0, 80)}...` : text
}

/** A step of digits is a number only in a list. */
function parsePointer(pointer: string, value: unknown): JsonPath {
  let parent = value
  const steps = pointer.split("/").slice(1)
  return steps.map((text) => {
    const key = text.replaceAll("~1", "/").replaceAll("~0", "~")
    const step = Array.isArray(parent) ? Number(key) : key
    parent = typeof parent === "object" && parent !== null ? Reflect.get(parent, key) : undefined
    return step
  })
}
