import { describe, expect, test } from "bun:test"
import fc from "fast-check"
import { decodeSpec, type EncodableSpec, encodeSpec, specFromBase64, specToBase64 } from "../../src/spec/encoded.ts"
import { parseSpec } from "../../src/spec/parse.ts"

const bytes = (hex: string) => new Uint8Array(Buffer.from(hex.replace(/\s/g, ""), "hex"))
const hex = (data: Uint8Array) => Buffer.from(data).toString("hex")

/**
 * Written by hand from the message's definition. A field is its number times 8 plus its wire type (2: a length follows,
 * 0: a varint), then the length in bytes, then the content.
 */
const VECTORS: readonly (readonly [string, EncodableSpec, string])[] = [
  ["A-2: base_ref", { baseRef: "alpine:latest" }, "0a 0d 616c70696e653a6c6174657374"],
  ["A-3: ide_ref", { ideRef: "ide:1" }, "12 05 6964653a31"],
  [
    "A-4: base_ref and ide_ref",
    { baseRef: "alpine:latest", ideRef: "ide:1" },
    "0a 0d 616c70696e653a6c6174657374 12 05 6964653a31",
  ],
  [
    "A-5: base_ref and a remote layer",
    {
      baseRef: "alpine:latest",
      contentLayer: [{ remote: { url: "https://x/y", digest: "sha256:ab", diffId: "sha256:cd" } }],
    },
    `0a 0d 616c70696e653a6c6174657374
     1a 25
       0a 23
         0a 0b 68747470733a2f2f782f79
         12 09 7368613235363a6162
         1a 09 7368613235363a6364`,
  ],
  ["supervisor_ref", { supervisorRef: "s" }, "2a 01 73"],
  ["ide_layer_ref", { ideLayerRef: ["a", "bc"] }, "3a 01 61 3a 02 6263"],
  [
    "media_type and size",
    { contentLayer: [{ remote: { mediaType: "a/b", size: 300 } }] },
    "1a 0a 0a 08 22 03 612f62 28 ac02",
  ],
  ["the largest size", { contentLayer: [{ remote: { size: 9007199254740991 } }] }, "1a 0b 0a 09 28 ffffffffffffff0f"],
  ["a direct layer", { contentLayer: [{ direct: { content: "aGk=" } }] }, "1a 06 12 04 0a 02 6869"],
  ["a direct layer without content", { contentLayer: [{ direct: {} }] }, "1a 02 12 00"],
  ["a layer of neither kind", { contentLayer: [{}] }, "1a 00"],
  ["a text of 200 bytes", { baseRef: "x".repeat(200) }, `0a c801 ${"78".repeat(200)}`],
  ["letters outside ASCII", { baseRef: "é" }, "0a 02 c3a9"],
  ["nothing", {}, ""],
]

describe("encodeSpec() and decodeSpec()", () => {
  test.each(VECTORS)("%s", (_, spec, encoded) => {
    expect(hex(encodeSpec(spec))).toBe(hex(bytes(encoded)))
    expect(decodeSpec(bytes(encoded))).toEqual(spec)
  })

  test("what is empty is not sent", () => {
    const spec = { baseRef: "", ideRef: "", supervisorRef: "", ideLayerRef: [], contentLayer: [] }

    expect(hex(encodeSpec(spec))).toBe("")
    expect(hex(encodeSpec({ contentLayer: [{ remote: { url: "", size: 0 } }] }))).toBe("1a020a00")
  })

  test("a size may be a text, as JSON writes it", () => {
    expect(hex(encodeSpec({ contentLayer: [{ remote: { size: "300" } }] }))).toBe("1a050a0328ac02")
  })

  test.each([
    ["reserved fields", "0a0161 22027878 32027878", { baseRef: "a" }],
    [
      "unknown fields of every wire type",
      "9206017a 980601 a1060102030405060708 ad0601020304 bb060801bc06 0a0161",
      { baseRef: "a" },
    ],
    ["a known number with another wire type", "0801 1001 0a0161", { baseRef: "a" }],
    ["a field that stands twice: the last counts", "0a0161 0a0162", { baseRef: "b" }],
    [
      "a oneof that stands twice: the last counts",
      "1a0b 0a030a0175 12040a026869",
      { contentLayer: [{ direct: { content: "aGk=" } }] },
    ],
    ["fields in another order", "3a0163 120162 0a0161", { baseRef: "a", ideRef: "b", ideLayerRef: ["c"] }],
    ["an explicit default", "0a00 1a04 0a022800", { contentLayer: [{ remote: {} }] }],
  ] as [string, string, EncodableSpec][])("reads %s", (_, encoded, spec) => {
    expect(decodeSpec(bytes(encoded))).toEqual(spec)
  })

  test.each([
    ["cut off in a text", "0a0d616c", "premature EOF"],
    ["cut off in a length", "0aff", ""],
    ["cut off in a nested message", "1a040a020a05", "premature EOF"],
    ["invalid UTF-8", "0a01ff", ""],
    ["field number zero", "020161", "illegal tag"],
    ["an unknown wire type", "0f", "illegal tag"],
    ["a negative size", "1a0d 0a0b 28ffffffffffffffffff01", "a size of -1 bytes is not possible"],
    ["a size of 2^53", "1a0b 0a09 288080808080808010", "a size of 9007199254740992 bytes is not possible"],
    ["groups without end", "9b06".repeat(5000), "maximum recursion depth reached"],
  ])("refuses %s", (_, encoded, reason) => {
    expect(() => decodeSpec(bytes(encoded))).toThrow(TypeError)
    expect(() => decodeSpec(bytes(encoded))).toThrow(/^Cannot read spec: /)
    expect(() => decodeSpec(bytes(encoded))).toThrow(reason)
  })

  test("never ends otherwise than with a spec or a TypeError", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (data) => {
        try {
          decodeSpec(data)
        } catch (error) {
          expect(error).toBeInstanceOf(TypeError)
        }
      }),
      { numRuns: 3000 },
    )
  })

  test("any spec comes back as it was", () => {
    const text = fc.string({ minLength: 1 })
    const base64 = fc.uint8Array({ minLength: 1 }).map((data) => Buffer.from(data).toString("base64"))
    const remote = fc.record(
      {
        url: text,
        digest: text,
        diffId: text,
        mediaType: text,
        size: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
      },
      { requiredKeys: [] },
    )
    const layer = fc.oneof(
      remote.map((value) => ({ remote: value })),
      fc.record({ content: base64 }, { requiredKeys: [] }).map((value) => ({ direct: value })),
    )
    const specs = fc.record(
      {
        baseRef: text,
        ideRef: text,
        supervisorRef: text,
        ideLayerRef: fc.array(fc.string(), { minLength: 1 }),
        contentLayer: fc.array(layer, { minLength: 1 }),
      },
      { requiredKeys: [] },
    )
    fc.assert(
      fc.property(specs, (spec) => {
        expect(decodeSpec(encodeSpec(spec))).toEqual(spec)
        expect(specFromBase64(specToBase64(spec)) ?? {}).toEqual(spec)
      }),
    )
  })

  test("what is decoded can be parsed", () => {
    const digest = `sha256:${"ab".repeat(32)}`
    const spec = { baseRef: "alpine", contentLayer: [{ remote: { url: "https://x.io/y", digest, size: 7 } }] }

    expect(parseSpec(decodeSpec(encodeSpec(spec)), null)).toEqual(parseSpec(spec, null))
  })
})

describe("specToBase64() and specFromBase64()", () => {
  test("A-1: no spec is no text", () => {
    expect(specToBase64(null)).toBe("")
    expect(specFromBase64("")).toBeNull()
  })

  test("A-2: a spec is the base64 of its bytes", () => {
    expect(specToBase64({ baseRef: "alpine:latest" })).toBe("Cg1hbHBpbmU6bGF0ZXN0")
    expect(specFromBase64("Cg1hbHBpbmU6bGF0ZXN0")).toEqual({ baseRef: "alpine:latest" })
  })

  test.each(["Cg1h*", "Cg1hb", "Cg1hbHBpbmU6bGF0ZXN0\n", "CgFh=", "____", "not a spec", "{}"])("refuses %j", (text) => {
    expect(() => specFromBase64(text)).toThrow("Cannot read spec: it is not base64")
  })
})
