import { describe, expect, test } from "bun:test"
import { formatPlatform, isSamePlatform, parsePlatform, platformFitness } from "../../src/oci/platform.ts"

describe("parsePlatform()", () => {
  test.each([
    ["linux/amd64", "linux/amd64"],
    ["Linux/AMD64", "linux/amd64"],
    ["linux/x86_64", "linux/amd64"],
    ["linux/aarch64", "linux/arm64"],
    ["linux/arm64/v8", "linux/arm64"],
    ["linux/arm64/8", "linux/arm64"],
    ["linux/arm64/v9", "linux/arm64/v9"],
    ["linux/arm", "linux/arm/v7"],
    ["linux/armhf", "linux/arm/v7"],
    ["linux/arm/6", "linux/arm/v6"],
    ["linux/amd64/v1", "linux/amd64"],
    ["linux/amd64/v3", "linux/amd64/v3"],
    ["linux/i386", "linux/386"],
    ["windows/amd64", "windows/amd64"],
    ["linux/constructor", "linux/constructor"],
  ])("%s is %s", (text, canonical) => {
    expect(formatPlatform(parsePlatform(text))).toBe(canonical)
  })

  test.each(["", "linux", "linux/", "/amd64", "linux/amd64/", "linux/amd64/v1/x", "linux/am d64", "lin ux/amd64"])(
    "refuses %j and says what it expects",
    (text) => {
      expect(() => parsePlatform(text)).toThrow(
        `Cannot parse platform ${JSON.stringify(text)}: expected os/architecture or os/architecture/variant, like "linux/amd64"`,
      )
    },
  )
})

describe("platformFitness()", () => {
  test.each([
    // offered, wanted, whether it runs
    ["linux/amd64", "linux/amd64", true],
    ["linux/amd64", "linux/amd64/v3", true],
    ["linux/amd64/v3", "linux/amd64", false],
    ["linux/arm64", "linux/arm64/v8", true],
    ["linux/arm64/v8", "linux/arm64/v9", true],
    ["linux/arm64/v9", "linux/arm64", false],
    ["linux/arm/v6", "linux/arm/v7", true],
    ["linux/arm/v7", "linux/arm/v6", false],
    ["linux/arm", "linux/arm/v7", true],
    ["linux/arm64", "linux/amd64", false],
    ["linux/386", "linux/amd64", false],
    ["windows/amd64", "linux/amd64", false],
    ["unknown/unknown", "linux/amd64", false],
  ])("content for %s on %s: %p", (offered, wanted, expected) => {
    expect(platformFitness(parsePlatform(offered), parsePlatform(wanted)) > 0).toBe(expected)
  })

  test.each([
    ["linux/arm/v7", ["linux/arm/v7", "linux/arm/v6", "linux/arm/v5"]],
    ["linux/amd64/v4", ["linux/amd64/v4", "linux/amd64/v3", "linux/amd64/v2", "linux/amd64"]],
    ["linux/arm64/v9", ["linux/arm64/v9", "linux/arm64"]],
  ])("for %s the best is the exact one, then the nearest below", (wanted, best) => {
    const fitness = (offered: string) => platformFitness(parsePlatform(offered), parsePlatform(wanted))
    const scores = best.map(fitness)

    expect(scores).toEqual(scores.toSorted((one, other) => other - one))
    expect(new Set(scores).size).toBe(scores.length)
  })

  test("a variant that nobody knows fits only itself", () => {
    const odd = { os: "linux", architecture: "riscv64", variant: "rva23" }

    expect(platformFitness(odd, odd)).toBe(100)
    expect(platformFitness(odd, parsePlatform("linux/riscv64"))).toBe(0)
  })

  test("isSamePlatform() sees through spellings, not through variants", () => {
    expect(isSamePlatform(parsePlatform("linux/arm64"), { os: "linux", architecture: "arm64", variant: "v8" })).toBe(
      true,
    )
    expect(isSamePlatform(parsePlatform("linux/arm/v6"), parsePlatform("linux/arm/v7"))).toBe(false)
  })
})
