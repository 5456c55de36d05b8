/** The candidate that `text` is most likely a misspelling of; null when none is near. */
export function findClosest(text: string, candidates: readonly string[]): string | null {
  const wanted = text.toLowerCase()
  const farthest = Math.max(2, text.length * 0.45)
  const ranked = candidates
    .filter((candidate) => text.length - candidate.length <= farthest) // no distance is less than that
    .map((candidate) => ({ candidate, distance: remoteness(wanted, candidate.toLowerCase()) }))
    .sort((one, other) => one.distance - other.distance)
  const best = ranked[0]
  return best !== undefined && best.distance <= farthest ? best.candidate : null
}

/** The beginning of a word is near to it, however long the rest is. */
const remoteness = (text: string, candidate: string): number =>
  text.length > 2 && candidate.startsWith(text) ? 1 : editDistance(text, candidate)

/** Levenshtein distance, one row at a time. */
function editDistance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, index) => index)
  for (const [index, letter] of [...from].entries()) {
    const next = [index + 1]
    for (let column = 1; column <= to.length; column += 1) {
      const replace = (row[column - 1] ?? 0) + (letter === to[column - 1] ? 0 : 1)
      next.push(Math.min(replace, (row[column] ?? 0) + 1, (next[column - 1] ?? 0) + 1))
    }
    row = next
  }
  return row[to.length] ?? 0
}
