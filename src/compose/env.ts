import type { EnvEdit } from "../layer/layer.ts"
import { asString, type Json, toJson } from "../oci/json.ts"

interface Variable {
  /** Null for what is no `NAME=value`; it is kept as it is. */
  readonly name: string | null
  readonly value: string
  readonly json: Json
}

/**
 * Applies edits to a list of `NAME=value`, in place: untouched entries keep their spelling and position, new ones go to
 * the end. Of several entries with one name the last counts, as at run time.
 */
export function editEnv(env: readonly Json[], edits: readonly EnvEdit[]): readonly Json[] {
  let variables: readonly Variable[] = env.map(readVariable)
  for (const edit of edits) variables = applyEdit(variables, edit)
  return variables.map(({ json }) => json)
}

function applyEdit(variables: readonly Variable[], edit: EnvEdit): readonly Variable[] {
  const current = variables.findLast(({ name }) => name === edit.name)
  const value = newValue(current?.value ?? null, edit)
  if (value === null) return variables.filter(({ name }) => name !== edit.name)
  if (current !== undefined && value === current.value) return variables
  const changed = newVariable(edit.name, value)
  if (current === undefined) return [...variables, changed]
  const rest = variables.filter((variable) => variable === current || variable.name !== edit.name)
  return rest.map((variable) => (variable === current ? changed : variable))
}

/** Null: the variable goes. */
function newValue(current: string | null, edit: EnvEdit): string | null {
  switch (edit.op) {
    case "set":
      return edit.value
    case "default":
      return current ?? edit.value
    case "unset":
      return null
    case "before":
      return current === null || current === "" ? edit.value : `${edit.value}${edit.separator}${current}`
    case "after":
      return current === null || current === "" ? edit.value : `${current}${edit.separator}${edit.value}`
    default:
      return edit satisfies never
  }
}

function readVariable(json: Json): Variable {
  const text = asString(json) ?? ""
  const equals = text.indexOf("=")
  return equals === -1
    ? { name: text === "" ? null : text, value: "", json }
    : { name: text.slice(0, equals), value: text.slice(equals + 1), json }
}

const newVariable = (name: string, value: string): Variable => ({ name, value, json: toJson(`${name}=${value}`) })
