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
  const variables = new Variables(env.map(readVariable))
  for (const edit of edits) variables.apply(edit)
  return variables.list()
}

/** In their order, found by their names. */
class Variables {
  /** Null: it is gone. */
  readonly #all: (Variable | null)[] = []
  readonly #places = new Map<string, number[]>()

  constructor(variables: readonly Variable[]) {
    for (const variable of variables) this.#put(variable, this.#all.length)
  }

  list(): readonly Json[] {
    return this.#all.filter((variable) => variable !== null).map(({ json }) => json)
  }

  apply(edit: EnvEdit): void {
    const places = this.#places.get(edit.name) ?? []
    const last = places.at(-1)
    const current = last === undefined ? null : (this.#all[last] ?? null)
    const value = newValue(current?.value ?? null, edit)
    if (value !== null && current !== null && value === current.value) return
    for (const place of places) this.#all[place] = null
    this.#places.delete(edit.name)
    if (value === null) return
    const changed = newVariable(edit.name, value)
    this.#put(changed, last ?? this.#all.length)
  }

  #put(variable: Variable, place: number): void {
    this.#all[place] = variable
    if (variable.name === null) return
    const places = this.#places.get(variable.name)
    if (places === undefined) this.#places.set(variable.name, [place])
    else places.push(place)
  }
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
