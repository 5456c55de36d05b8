import { readFileSync } from "node:fs"
import { join } from "node:path"

/** A block of code in a page. */
export interface Fence {
  /** What stands behind the opening backticks. */
  readonly language: string
  /** The heading that it stands under. */
  readonly heading: string
  readonly text: string
}

export const ROOT = join(import.meta.dir, "../..")

export const readPage = (path: string): string => readFileSync(join(ROOT, path), "utf8")

/** The blocks of a page in their order. */
export function fencesOf(page: string): readonly Fence[] {
  const fences: Fence[] = []
  let heading = ""
  let open: { readonly language: string; readonly lines: string[] } | null = null
  for (const line of page.split("\n")) {
    if (open === null && line.startsWith("#")) heading = line.replace(/^#+ /, "")
    if (!line.startsWith("```")) open?.lines.push(line)
    else if (open === null) open = { language: line.slice(3), lines: [] }
    else {
      fences.push({ language: open.language, heading, text: `${open.lines.join("\n")}\n` })
      open = null
    }
  }
  return fences
}

/** The blocks of shell commands below a heading, in their order. */
export const commandsUnder = (page: string, heading: string): readonly string[] =>
  fencesOf(page)
    .filter((fence) => fence.heading === heading && fence.language === "sh")
    .map(({ text }) => text)
