import { describe, expect, test } from "bun:test"
import { findClosest } from "../../src/lib/closest.ts"

describe("findClosest()", () => {
  test.each([
    ["regisrty", "registry"],
    ["REGISTRY", "registry"],
    ["compos", "compose"],
    ["confgi", "config"],
    ["storeMaxSizeByte", "storeMaxSizeBytes"],
    ["storeMaxSizeInBytes", "storeMaxSizeBytes"],
    ["store", "storeMaxSizeBytes"],
    ["workdir", "workingDir"],
    ["xyz", null],
    ["", null],
    ["completely-different", null],
  ])("%j is meant as %j", (text, expected) => {
    expect(
      findClosest(text, ["registry", "compose", "config", "storeMaxSizeBytes", "storeMinFreeBytes", "workingDir"]),
    ).toBe(expected)
  })

  test("what is far longer than everything known is near nothing, and not compared for long", () => {
    expect(findClosest("x".repeat(8 * 1024 * 1024), ["registry", "compose"])).toBeNull()
  })

  test("nothing is near where there is nothing", () => {
    expect(findClosest("registry", [])).toBeNull()
  })
})
