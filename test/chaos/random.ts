/** A stream of numbers from a seed: the same seed, the same numbers, on every machine. */
export interface Random {
  /** Between 0 (included) and 1. */
  next(): number
  /** A whole number below `limit`. */
  below(limit: number): number
  pick<Item>(items: readonly Item[]): Item
}

/** FNV-1a, mixed once more: names to well spread 32 bit numbers. */
export function hash(...parts: readonly (string | number)[]): number {
  let state = 0x811c9dc5
  for (const letter of parts.join("\n")) {
    state ^= letter.codePointAt(0) ?? 0
    state = Math.imul(state, 0x01000193)
  }
  return mixed(state)
}

function mixed(value: number): number {
  let state = value
  state = Math.imul(state ^ (state >>> 16), 0x21f0aaad)
  state = Math.imul(state ^ (state >>> 15), 0x735a2d97)
  return (state ^ (state >>> 15)) >>> 0
}

export function createRandom(...seed: readonly (string | number)[]): Random {
  let state = hash(...seed)
  const next = () => {
    state = (state + 0x9e3779b9) >>> 0
    return mixed(state) / 2 ** 32
  }
  const below = (limit: number) => Math.floor(next() * limit)
  return {
    next,
    below,
    pick: (items) => {
      const item = items[below(items.length)]
      if (item === undefined) throw new RangeError("Cannot pick from nothing")
      return item
    },
  }
}
