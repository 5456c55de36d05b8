import { describe, expect, test } from "bun:test"
import { randomBytes } from "node:crypto"
import { constants, deflateRawSync } from "node:zlib"
import { mayBeginBlock } from "../../src/archive/block-header.ts"
import { inflatePart } from "../../src/archive/inflate-part.ts"

const WINDOW = new Uint8Array(32 * 1024)
const SKIPS = [1, 2, 3, 4, 5, 6, 7, 8]
const ROUNDS = 4000

/** What zlib says to a block at this bit. */
const decodes = (source: Uint8Array, skip: number): boolean =>
  inflatePart({ source, skip, window: WINDOW }, new Uint8Array(4096)) !== null

const randomText = (): string =>
  Array.from(randomBytes(400), (byte) => (byte % 29).toString(36).repeat(1 + (byte % 3))).join("")

/** Blocks of all types, each behind a byte of which nothing is known. */
const BLOCKS = Array.from({ length: 200 }, (_, at) => {
  const strategy = at % 2 === 0 ? constants.Z_FIXED : constants.Z_DEFAULT_STRATEGY
  return deflateRawSync(at % 3 === 0 ? randomBytes(300) : randomText(), { strategy, level: at % 10 })
})

describe("the first bits of a block", () => {
  test("are refused in what zlib cannot decode, and nowhere else", () => {
    let refused = 0
    for (let round = 0; round < ROUNDS; round += 1) {
      const source = randomBytes(1 + (round % 60))
      for (const skip of SKIPS) {
        if (mayBeginBlock(source, skip)) continue
        refused += 1
        expect([source.toString("hex"), skip, decodes(source, skip)]).toEqual([source.toString("hex"), skip, false])
      }
    }
    expect(refused).toBeGreaterThan(ROUNDS * SKIPS.length * 0.5)
  })

  test("are known where blocks begin, of any type, as far as they are there", () => {
    for (const block of BLOCKS) {
      const source = Buffer.concat([randomBytes(1), block])
      expect(decodes(source, 8)).toBe(true)
      for (let length = 1; length <= source.length; length += 1)
        expect([source.toString("hex"), length, mayBeginBlock(source.subarray(0, length), 8)]).toEqual([
          source.toString("hex"),
          length,
          true,
        ])
    }
  })
})
