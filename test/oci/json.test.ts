import { describe, expect, test } from "bun:test"
import fc from "fast-check"
import {
  asItems,
  asObject,
  asSize,
  asString,
  getMember,
  type Json,
  type JsonObject,
  parseJson,
  printJson,
  toJson,
  withMember,
  withoutMembers,
} from "../../src/oci/json.ts"

const bytes = (text: string) => new TextEncoder().encode(text)
const parse = (text: string) => parseJson(bytes(text))
const object = (text: string): JsonObject => {
  const json = asObject(parse(text))
  if (json === null) throw new Error("not an object")
  return json
}

describe("parseJson() and printJson()", () => {
  test.each([
    ['{"b":1,"a":2,"10":3,"2":4}', "integer-like keys keep their order"],
    ["[9007199254740993,1e400,-0,1.50,1E+2,0.1e-7]", "numbers keep their spelling"],
    ['{"__proto__":{"x":1},"constructor":2}', "names of JavaScript are names like others"],
    ['"\\u0041\\/\\ud83d\\ude00é\\ud800"', "escapes keep their spelling"],
    ['{"\\u0061":1}', "escapes in keys, too"],
    ['{"":{"":[]}}', "an empty key is a key"],
    ["[[],{},null,true,false]", "all kinds of values"],
    ['"]}[{,:\\"\\\\"', "structure inside a text is text"],
  ])("%s survives: %s", (text) => {
    expect(printJson(parse(text))).toBe(text)
  })

  test("prints without white space, whatever there was", () => {
    expect(printJson(parse(' {\n\t"a" : [ 1 , 2 ] ,\r\n"b":{ } } \n'))).toBe('{"a":[1,2],"b":{}}')
  })

  test.each([
    ['{"a":1,"a":2}', 'the key "a" stands twice'],
    ['{"a":1,"\\u0061":2}', 'the key "a" stands twice'],
    ['[{"x":{"b":1,"c":2,"b":3}}]', 'the key "b" stands twice'],
    ["\uFEFF{}", "it begins with a byte order mark"],
  ])("refuses %j: %s", (text, reason) => {
    expect(() => parse(text)).toThrow(new SyntaxError(`Cannot parse JSON: ${reason}`))
  })

  test.each([
    "",
    " ",
    "{",
    "[1,]",
    '{"a":1,}',
    "{a:1}",
    "{'a':1}",
    '{"a":1}{"b":2}',
    "// comment\n{}",
    "/**/1",
    "01",
    "+1",
    "1.",
    ".5",
    "0x10",
    "NaN",
    "Infinity",
    "undefined",
    "nul",
    '"\n"',
    '"\\x41"',
    '"open',
    "\u00a0{}",
  ])("refuses %j, which is not JSON", (text) => {
    expect(() => parse(text)).toThrow(SyntaxError)
  })

  test.each([
    ["invalid start", [0x22, 0xff, 0x22]],
    ["overlong", [0x22, 0xc0, 0xaf, 0x22]],
    ["lone surrogate", [0x22, 0xed, 0xa0, 0x80, 0x22]],
    ["cut off", [0x22, 0xe2, 0x82, 0x22]],
    ["UTF-16", [0xff, 0xfe, 0x7b, 0x00, 0x7d, 0x00]],
  ])("refuses invalid UTF-8: %s", (_, wrong) => {
    expect(() => parseJson(new Uint8Array(wrong))).toThrow("Cannot parse JSON: it is not valid UTF-8")
  })

  const MiB = 1024 * 1024
  test.each([
    ["lists", "[".repeat(4 * MiB), "it is nested deeper than 64"],
    ["objects", '{"a":'.repeat(800_000), "it is nested deeper than 64"],
    ["closed lists", "[".repeat(2 * MiB) + "]".repeat(2 * MiB), "it is nested deeper than 64"],
    ["values", `[${"0,".repeat(2 * MiB - 1)}0]`, "it has more than 250000 values"],
    ["members", `{${'"":0,'.repeat(800_000)}"":0}`, "it has more than 250000 values"],
    ["quotes", `"${'\\"'.repeat(2 * MiB)}`, ""],
  ])("refuses a bomb of %s at once", (_, text, reason) => {
    const content = bytes(text)
    const start = performance.now()

    expect(() => parseJson(content)).toThrow(reason)
    expect(performance.now() - start).toBeLessThan(3000)
  })

  test("takes nesting of 64, as no image has it", () => {
    const text = "[".repeat(64) + "]".repeat(64)

    expect(printJson(parse(text))).toBe(text)
    expect(() => parse(`[${text}]`)).toThrow("nested deeper than 64")
  })

  test("any document that JavaScript prints comes back as it was", () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 5 }), (text) => {
        const compact = JSON.stringify(JSON.parse(text))
        expect(printJson(parse(compact))).toBe(compact)
      }),
    )
  })

  test("texts mean what they mean to JavaScript", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        expect(asString(parse(JSON.stringify(text)))).toBe(text)
      }),
    )
  })

  test("toJson() prints as JSON.stringify() does", () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 4 }), (value) => {
        expect(printJson(toJson(value))).toBe(JSON.stringify(value))
      }),
    )
  })

  test("toJson() leaves out what is undefined and refuses what JSON has no word for", () => {
    expect(printJson(toJson({ a: undefined, b: null }))).toBe('{"b":null}')
    expect(() => toJson(() => 0)).toThrow("Cannot make JSON of a function")
  })
})

describe("editing", () => {
  const document = object('{"z":1.0,"a":{"k":[1]},"__proto__":2}')

  test("withMember() replaces where the member stands, or appends", () => {
    expect(printJson(withMember(document, "a", toJson("x")))).toBe('{"z":1.0,"a":"x","__proto__":2}')
    expect(printJson(withMember(document, "new", toJson([])))).toBe('{"z":1.0,"a":{"k":[1]},"__proto__":2,"new":[]}')
    expect(printJson(document)).toBe('{"z":1.0,"a":{"k":[1]},"__proto__":2}')
  })

  test("withoutMembers() leaves the others as they are", () => {
    expect(printJson(withoutMembers(document, "a", "missing", "__proto__"))).toBe('{"z":1.0}')
  })

  test("reading what is not there, or is of another kind, gives nothing", () => {
    expect(getMember(document, "toString")).toBeNull()
    expect(getMember(toJson([1]), "0")).toBeNull()
    expect(getMember(null, "a")).toBeNull()
    expect(asItems(getMember(document, "z"))).toEqual([])
    expect(asString(getMember(document, "z"))).toBeNull()
    expect(asObject(toJson([]))).toBeNull()
  })

  test.each([
    ["0", 0],
    ["9007199254740991", 9007199254740991],
    ["9007199254740992", null],
    ["9007199254740993", null],
    ["1e400", null],
    ["1e3", null],
    ["10.0", null],
    ["-1", null],
    ["-0", null],
    ['"5"', null],
    ["null", null],
  ])("asSize(%s) is %p", (text, expected) => {
    expect(asSize(parse(text))).toBe(expected)
  })

  test("editing one member never touches the spelling of the others", () => {
    const spelled = fc.constantFrom("1.50", "9007199254740993", '"\\u00e9"', "[1e400]", '{"10":1,"2":2}', "null")
    const members = fc.uniqueArray(fc.tuple(fc.string({ maxLength: 4 }), spelled), { selector: ([key]) => key })
    fc.assert(
      fc.property(members, fc.string({ maxLength: 4 }), (pairs, key) => {
        const json = { kind: "object", members: pairs.map(toMember) } as const
        const edited = withMember(parseAgain(json), key, toJson("new"))

        const others = pairs.filter(([name]) => name !== key).map(toMember)
        expect(printJson(withoutMembers(edited, key))).toBe(printJson({ kind: "object", members: others }))
        expect(asString(getMember(edited, key))).toBe("new")
      }),
    )
  })
})

const toMember = ([key, raw]: readonly [string, string]) => ({
  key,
  rawKey: JSON.stringify(key),
  value: parse(raw),
})
const parseAgain = (json: Json): JsonObject => object(printJson(json))
