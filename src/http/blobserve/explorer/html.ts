/** Text that is HTML already. */
export interface Html {
  readonly html: string
}

type Part = Html | string | number | readonly Html[]

/** Puts texts into HTML, escaped; only what is HTML already stays as it is. */
export function html(strings: TemplateStringsArray, ...parts: readonly Part[]): Html {
  return { html: strings.map((text, at) => text + (at < parts.length ? rendered(parts[at] ?? "") : "")).join("") }
}

function rendered(part: Part): string {
  if (typeof part === "string" || typeof part === "number") return Bun.escapeHTML(String(part))
  return "html" in part ? part.html : part.map((one) => one.html).join("")
}
