import { describe, expect, test } from "bun:test"
import { type TSchema, Type } from "@sinclair/typebox"
import { formatJsonPath, parseJsonText } from "../../src/lib/json-text.ts"
import { DocumentError, findProblems } from "../../src/lib/validate.ts"

const closed = (properties: Record<string, TSchema>) => Type.Object(properties, { additionalProperties: false })
const layer = Type.Union([
  closed({ image: Type.String() }),
  closed({ file: Type.String(), mode: Type.Optional(Type.Integer()) }),
])
const schema = closed({
  name: Type.String(),
  port: Type.Optional(Type.Integer({ minimum: 0, maximum: 65_535 })),
  size: Type.Optional(Type.Integer({ minimum: 1 })),
  kind: Type.Optional(Type.Union([Type.Literal("a"), Type.Literal("b")])),
  url: Type.Optional(Type.String({ pattern: "^https://", expected: "an https URL" })),
  layers: Type.Optional(Type.Union([Type.Array(layer), layer])),
  hosts: Type.Optional(Type.Record(Type.String(), closed({ plain: Type.Optional(Type.Boolean()) }))),
})
const problems = (value: unknown) =>
  findProblems(schema, value).map(({ path, message }) => `${formatJsonPath(path)}: ${message}`)

describe("findProblems()", () => {
  test.each([
    [{ name: "x" }, []],
    [{ name: "x", layers: { image: "y" }, hosts: { "10": { plain: true } } }, []],
    [{}, ["name: is missing"]],
    [[], [": expected an object, got a list"]],
    [null, [": expected an object, got null"]],
    [{ name: null }, ["name: expected a string, got null"]],
    [{ name: { a: 1 } }, ["name: expected a string, got an object"]],
    [{ name: "x", port: "80" }, ['port: expected a whole number from 0 to 65535, got "80"']],
    [{ name: "x", port: 1.5 }, ["port: expected a whole number from 0 to 65535, got 1.5"]],
    [{ name: "x", port: 70_000 }, ["port: expected a whole number from 0 to 65535, got 70000"]],
    [{ name: "x", size: 0 }, ["size: expected a whole number, at least 1, got 0"]],
    [{ name: "x", kind: "c" }, ['kind: expected "a" or "b", got "c"']],
    [{ name: "x", url: "ftp://y" }, ['url: expected an https URL, got "ftp://y"']],
    [{ name: "x", nmae: 1 }, ['nmae: unknown key, did you mean "name"?']],
    [{ name: "x", zzz: 1 }, ["zzz: unknown key, known are name, port, size, kind, url, layers, hosts"]],
    [{ name: "x", layers: "y" }, ['layers: expected a list or an object, got "y"']],
    [
      { name: "x", layers: [{ fil: "y" }] },
      ["layers[0].image: is missing", 'layers[0].fil: unknown key, did you mean "file"?'],
    ],
    [{ name: "x", layers: { file: "y", mode: "r" } }, ['layers.mode: expected a whole number, got "r"']],
    [{ name: "x", hosts: { "10": { palin: true } } }, ['hosts["10"].palin: unknown key, did you mean "plain"?']],
    [{ name: "x", hosts: { "a/b~c": 1 } }, ['hosts["a/b~c"]: expected an object, got 1']],
    [
      { port: -1, kind: 5 },
      ["name: is missing", "port: expected a whole number from 0 to 65535, got -1", 'kind: expected "a" or "b", got 5'],
    ],
  ] as [unknown, string[]][])("%j: %j", (value, expected) => {
    expect(problems(value)).toEqual(expected)
  })

  test("repeats neither long texts nor passwords", () => {
    expect(problems({ name: "x", url: "http://me:hunter2@y" })).toEqual([
      'url: expected an https URL, got "http://<redacted>@y"',
    ])
    expect(problems({ name: "x", port: "y".repeat(10_000) })[0]?.length).toBeLessThan(200)
  })
})

describe("DocumentError", () => {
  test("tells file, line, path and problem, one line for each", () => {
    const text = parseJsonText('{\n"hosts": {\n"10": { "palin": true } },\n"port": -1\n}')
    const error = new DocumentError("a/config.json", text, findProblems(schema, text.value))

    expect(error.message).toBe(
      [
        "a/config.json:1: name: is missing",
        "a/config.json:4: port: expected a whole number from 0 to 65535, got -1",
        'a/config.json:3: hosts["10"].palin: unknown key, did you mean "plain"?',
      ].join("\n"),
    )
  })

  test("a problem of the whole document is one of line 1", () => {
    const error = new DocumentError("c.json", parseJsonText("\n[]"), [{ path: [], message: "expected an object" }])

    expect(error.message).toBe("c.json:2: (document): expected an object")
  })
})
