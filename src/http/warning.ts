const MAX_WARNING = 1000

/**
 * A warning for people, as clients print it (distribution-spec: "Warnings"): printable ASCII, one per answer because Bun
 * folds header lines.
 */
export function warningHeader(message: string): string {
  const text = message.slice(0, MAX_WARNING).replace(/[^ -~]/g, "?")
  return `299 - "${text.replace(/["\\]/g, "\\$&")}"`
}
