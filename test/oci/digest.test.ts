import { describe, expect, test } from "bun:test"
import {
  createHasher,
  digestAlgorithm,
  digestHex,
  digestOf,
  isDigest,
  isWellFormedDigest,
  parseDiffID,
  parseDigest,
  uncompressedDiffID,
} from "../../src/oci/digest.ts"

/** Published vectors of FIPS 180-2, "abc". */
const SHA256_ABC = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
const SHA512_ABC =
  "sha512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"
const hex = (length: number) => "0123456789abcdef".repeat(8).slice(0, length)

describe("parseDigest()", () => {
  test.each([SHA256_ABC, SHA512_ABC])("accepts %s", (text) => {
    expect(parseDigest(text) as string).toBe(text)
    expect(isDigest(text)).toBe(true)
  })

  test.each([
    ["", "expected sha256:<64 lower-case hexadecimal characters>"],
    ["latest", "expected sha256:<64 lower-case hexadecimal characters>"],
    ["sha256:", "expected 64 hexadecimal characters, got 0"],
    [`sha256:${hex(63)}`, "expected 64 hexadecimal characters, got 63"],
    [`sha256:${hex(65)}`, "expected 64 hexadecimal characters, got 65"],
    [`sha512:${hex(64)}`, "expected 128 hexadecimal characters, got 64"],
    [`sha256:${hex(64).toUpperCase()}`, "expected lower-case hexadecimal characters only"],
    [`sha256:${hex(63)}g`, "expected lower-case hexadecimal characters only"],
    [`sha256:${hex(64)}\n`, "expected 64 hexadecimal characters, got 65"],
    [`SHA256:${hex(64)}`, "expected sha256:<64 lower-case hexadecimal characters>"],
    [`md5:${hex(32)}`, "the algorithm is not supported, use sha256 or sha512"],
    [`blake3:${hex(64)}`, "the algorithm is not supported, use sha256 or sha512"],
    [`sha256:${hex(64)}/../x`, "expected 64 hexadecimal characters, got 69"],
  ])("refuses %j: %s", (text, reason) => {
    expect(() => parseDigest(text)).toThrow(`Cannot parse digest ${JSON.stringify(text)}: ${reason}`)
    expect(() => parseDiffID(text)).toThrow(`Cannot parse diffID ${JSON.stringify(text)}: ${reason}`)
  })

  test("does not repeat more of a wrong text than fits into a log line", () => {
    expect(() => parseDigest(`sha256:${"a".repeat(100_000)}`)).toThrow(/^.{1,300}$/)
  })
})

describe("isWellFormedDigest()", () => {
  test.each([
    [SHA256_ABC, true],
    [SHA512_ABC, true],
    [`blake3:${hex(64)}`, true],
    ["multihash+base58:QmRZxt2b1FVZPNqd8hsiykDL3TdBDeTSPX9Kv46HmX4Gx8", true],
    ["sha256+b64u:LCa0a2j_xo_5m0U8HTBBNBNCLXBkg7-g-YpeiGJm564", true],
    ["sha256:baddigeststring", false],
    [`sha256:${hex(64).toUpperCase()}`, false],
    [`blake3:${hex(63)}`, false],
    ["sha256", false],
    [":abc", false],
    ["sha256:", false],
    ["sha--256:abc", false],
    ["a:b c", false],
    [`x:${"a".repeat(600)}`, false],
  ])("%s: %p", (text, expected) => {
    expect(isWellFormedDigest(text)).toBe(expected)
  })
})

describe("hashing", () => {
  test("digestOf() gives the published digests", () => {
    expect(digestOf("abc") as string).toBe(SHA256_ABC)
    expect(digestOf(new TextEncoder().encode("abc"), "sha512") as string).toBe(SHA512_ABC)
  })

  test.each(["sha256", "sha512"] as const)("createHasher() hashes %s in pieces as in one", (algorithm) => {
    const hasher = createHasher(algorithm)
    for (const piece of ["a", "", "bc"]) hasher.update(new TextEncoder().encode(piece))

    expect(hasher.digest()).toBe(digestOf("abc", algorithm))
  })

  test("a digest tells its algorithm and its hexadecimal part", () => {
    expect([SHA256_ABC, SHA512_ABC].map((text) => digestAlgorithm(parseDigest(text)))).toEqual(["sha256", "sha512"])
    expect(digestHex(parseDigest(SHA512_ABC))).toBe(SHA512_ABC.slice(7))
  })

  test("an uncompressed layer is its own tar", () => {
    expect(uncompressedDiffID(parseDigest(SHA256_ABC)) as string).toBe(SHA256_ABC)
  })
})
