const UNIT_MS: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  μs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
}

/** Parses a duration as Go writes it ("1m30s", "250ms", "0"). Gives milliseconds; throws TypeError. */
export function parseDuration(text: string): number {
  const fault = () =>
    new TypeError(`Cannot parse duration ${JSON.stringify(text)}: expected something like "90s" or "1m30s"`)
  if (text === "0") return 0
  if (!/^(?:(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+$/.test(text)) throw fault()
  const parts = text.matchAll(/(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)/g)
  const total = [...parts].reduce(
    (sum, [, amount = "", unit = ""]) => sum + Number(amount) * (UNIT_MS[unit] ?? Number.NaN),
    0,
  )
  if (!Number.isFinite(total)) throw fault()
  return total
}
