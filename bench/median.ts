/** The middle of what was measured: one disturbed round moves it little. Throws RangeError when there is nothing. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((one, other) => one - other)
  const middle = (sorted.length - 1) / 2
  const [low, high] = [sorted[Math.floor(middle)], sorted[Math.ceil(middle)]]
  if (low === undefined || high === undefined) throw new RangeError("Cannot take the median of nothing")
  return (low + high) / 2
}
