import { describe, expect, test } from "bun:test"
import { formatJsonPath, type JsonPath, parseJsonText } from "../../src/lib/json-text.ts"

describe("parseJsonText()", () => {
  const text = parseJsonText(`{
  "a": {
    "b": [
      1,
      { "c/d": true }
    ]
  },
  "7": null
}`)

  test.each([
    [[], 1],
    [["a"], 2],
    [["a", "b"], 3],
    [["a", "b", 0], 4],
    [["a", "b", 1, "c/d"], 5],
    [["a", "b", 9], 3],
    [["a", "x", "y"], 2],
    [["7"], 8],
    [["nothing"], 1],
  ] as [JsonPath, number][])("%j stands in line %d, or near it", (path, line) => {
    expect(text.lineOf(path)).toBe(line)
  })

  test("gives the value, and takes a byte order mark as editors write it", () => {
    expect(text.value).toEqual({ a: { b: [1, { "c/d": true }] }, "7": null })
    expect(parseJsonText('\uFEFF{"a":1}').value).toEqual({ a: 1 })
  })

  test.each([
    ["", "line 1: expected JSON, the document is empty"],
    [" \n", "the document is empty"],
    ["{\n  // comment\n}", "line 2: invalid comment token"],
    ['{\n  "a": 1,\n}', "line 3: "],
    ['{\n  "a": 1\n  "b": 2\n}', "line 3: comma expected"],
    ["{\n  a: 1\n}", "line 2: "],
    ['{ "a": 1 } x', "line 1: "],
    ['{\n"a": {\n "b": 1,\n "b": 2\n}}', "line 4: a.b stands twice"],
    ['[\n{},\n{"x":1,\n"x":1}]', "line 4: [1].x stands twice"],
  ])("refuses %j: %s", (wrong, message) => {
    expect(() => parseJsonText(wrong)).toThrow(SyntaxError)
    expect(() => parseJsonText(wrong)).toThrow(message)
  })
})

describe("formatJsonPath()", () => {
  test.each([
    [[], ""],
    [["registry", "staticLayer", 0, "ref"], "registry.staticLayer[0].ref"],
    [["registry", "upstreams", "ghcr.io", "ca"], 'registry.upstreams["ghcr.io"].ca'],
    [["7", "a"], '["7"].a'],
    [["$schema"], "$schema"],
  ] as [JsonPath, string][])("%j is shown as %s", (path, expected) => {
    expect(formatJsonPath(path)).toBe(expected)
  })
})
