/** Names are bytes; people see them as UTF-8, as far as they are. */
export const displayed = (name: string): string => Buffer.from(name, "latin1").toString("utf8")

const UNITS = ["B", "KiB", "MiB", "GiB"] as const

export function displayedSize(bytes: number): string {
  const power = Math.min(UNITS.length - 1, Math.floor(Math.log2(Math.max(bytes, 1)) / 10))
  const value = bytes / 1024 ** power
  return `${power === 0 ? value : value.toFixed(1)} ${UNITS[power]}`
}

/** As `ls` writes it. */
export const displayedMode = (mode: number): string =>
  [6, 3, 0]
    .map((shift) => ["r", "w", "x"].map((letter, bit) => ((mode >> shift) & (4 >> bit) ? letter : "-")).join(""))
    .join("")
