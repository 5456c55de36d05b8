import { describe, expect, test } from "bun:test"
import fc from "fast-check"
import { parseChallenges } from "../../src/upstream/challenge.ts"

describe("parseChallenges()", () => {
  test("is done at once with a header of blanks", () => {
    const since = performance.now()

    expect(parseChallenges(`Basic${" ".repeat(16_000)}(`)).toEqual([{ scheme: "basic", parameters: {} }])
    expect(performance.now() - since).toBeLessThan(300) // going back over them again and again takes a second
  })

  test.each([
    ['Basic realm="x"', [["basic", { realm: "x" }]]],
    ["Basic", [["basic", {}]]],
    ["basic realm=x", [["basic", { realm: "x" }]]],
    [
      'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push"',
      [
        [
          "bearer",
          { realm: "https://auth.docker.io/token", service: "registry.docker.io", scope: "repository:a/b:pull,push" },
        ],
      ],
    ],
    ['Bearer  realm = "a" , service="b"', [["bearer", { realm: "a", service: "b" }]]],
    ['BEARER REALM="a"', [["bearer", { realm: "a" }]]],
    ['Bearer realm="a \\"quoted\\" \\\\ text"', [["bearer", { realm: 'a "quoted" \\ text' }]]],
    ['Bearer realm="a, Basic realm=b"', [["bearer", { realm: "a, Basic realm=b" }]]],
    [
      'Basic realm="x", Bearer realm="y",service="z"',
      [
        ["basic", { realm: "x" }],
        ["bearer", { realm: "y", service: "z" }],
      ],
    ],
    [
      'Negotiate, Basic realm="x"',
      [
        ["negotiate", {}],
        ["basic", { realm: "x" }],
      ],
    ],
    [
      'Negotiate YII/+abc==, Basic realm="x"',
      [
        ["negotiate", {}],
        ["basic", { realm: "x" }],
      ],
    ],
    ["NTLM TlRMTVNTUAAC=", [["ntlm", {}]]],
    [', ,Basic realm="x"', [["basic", { realm: "x" }]]],
    [
      'Newauth realm="apps", type=1, title="Login to \\"apps\\"", Basic realm="simple"',
      [
        ["newauth", { realm: "apps", type: "1", title: 'Login to "apps"' }],
        ["basic", { realm: "simple" }],
      ],
    ],
    ['Bearer realm=""', [["bearer", { realm: "" }]]],
    ['Bearer realm="open', [["bearer", {}]]],
    ["", []],
    ["   ", []],
    ["=", []],
    ['"x"', []],
  ] as [string, [string, Record<string, string>][]][])("%s", (header, expected) => {
    expect(parseChallenges(header).map(({ scheme, parameters }) => [scheme, { ...parameters }])).toEqual(
      expected as [string, Record<string, string>][],
    )
  })

  test("ends quickly and without failure, whatever it is given", () => {
    const piece = fc.constantFrom("Basic", "Bearer ", 'realm="', '"', ",", "=", " ", "\\", "a", "a=b")
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 60 }), (pieces) => {
        expect(Array.isArray(parseChallenges(pieces.join("")))).toBe(true)
      }),
    )
    const start = performance.now()
    for (const text of ['"\\', "a ", "a=", ",", 'a="']) parseChallenges(`Basic ${text.repeat(500_000)}`)
    expect(performance.now() - start).toBeLessThan(3000)
  })
})
