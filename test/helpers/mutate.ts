import type { Random } from "../chaos/random.ts"

/** What people and programs put where something else belongs. */
const VALUES: readonly unknown[] = [
  null,
  true,
  -1,
  0.5,
  1e308,
  "",
  " ",
  "\u0000",
  "../../etc/passwd",
  "https://user:password@[::1]:99999/%zz",
  "x".repeat(100_000),
  "1h1h1h",
  [],
  [[]],
  [null],
  {},
  { "": {} },
  { __proto__x: 1, constructor: {}, toString: "" },
]

/** A document with one to three mistakes: of its values, its keys, or its text. */
export function mutated(document: unknown, random: Random): string {
  const copy: unknown = structuredClone(document)
  const count = 1 + random.below(3)
  for (let done = 0; done < count; done += 1) mutateValue(copy, random)
  const text = JSON.stringify(copy, null, 1)
  return random.below(4) === 0 ? mutatedText(text, random) : text
}

function mutateValue(root: unknown, random: Random): void {
  const parents = containersIn(root).filter((parent) => Object.keys(parent).length > 0)
  if (parents.length === 0) return
  const parent = random.pick(parents)
  const key = random.pick(Object.keys(parent))
  const value: unknown = Reflect.get(parent, key)
  switch (random.below(4)) {
    case 0:
      Reflect.deleteProperty(parent, key)
      break
    case 1:
      if (!Array.isArray(parent)) Reflect.set(parent, `${key}${random.pick(["s", "x", " ", ".", "\n", "é"])}`, value)
      break
    default:
      Reflect.set(parent, key, structuredClone(random.pick(VALUES)))
  }
}

function containersIn(value: unknown): readonly object[] {
  if (typeof value !== "object" || value === null) return []
  return [value, ...Object.values(value).flatMap(containersIn)]
}

function mutatedText(text: string, random: Random): string {
  const at = random.below(text.length)
  switch (random.below(3)) {
    case 0:
      return text.slice(0, at)
    case 1:
      return text.slice(0, at) + text.slice(at + 1 + random.below(5))
    default:
      return text.slice(0, at) + random.pick(["{", "}", '"', ",", "\u0000", "\ud800", "//", "\\u"]) + text.slice(at)
  }
}
