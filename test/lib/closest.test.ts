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

  test("nothing is near where there is nothing", () => {
    expect(findClosest("registry", [])).toBeNull()
  })
})
