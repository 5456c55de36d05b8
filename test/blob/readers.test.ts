import { describe, expect, test } from "bun:test"
import { Readers } from "../../src/blob/readers.ts"
import { createRandom } from "../chaos/random.ts"

describe("Readers", () => {
  test("know the slowest and the fastest, whoever comes, moves either way, or leaves", () => {
    const { below } = createRandom(7)
    const readers = new Readers()
    const all: ReturnType<Readers["add"]>[] = []
    for (let step = 0; step < 5000; step += 1) {
      const place = below(20) === 0 ? Number.POSITIVE_INFINITY : below(10)
      const one = all[below(all.length)]
      const action = below(5)
      if (one === undefined || action === 0) all.push(readers.add(place))
      else if (action === 1) {
        readers.delete(one)
        all.splice(all.indexOf(one), 1)
      } else readers.move(one, place)
      const positions = all.map(({ position }) => position)

      expect(readers.size).toBe(all.length)
      if (all.length > 0)
        expect([readers.slowest, readers.fastest]).toEqual([Math.min(...positions), Math.max(...positions)])
    }
  })

  test("who has left moves on alone", () => {
    const readers = new Readers()
    const [one, other] = [readers.add(1), readers.add(5)]
    readers.delete(one)
    readers.move(one, 9)

    expect([one.position, readers.slowest, readers.fastest]).toEqual([9, other.position, other.position])
  })
})
