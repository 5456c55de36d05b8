/** Compiles a pattern over paths: `*` is anything within a segment, `**` anything at all. */
export function compileGlob(pattern: string): (path: string) => boolean {
  const parts = pattern.split(/(\*\*|\*)/).map((part) => {
    if (part === "**") return ".*"
    return part === "*" ? "[^/]*" : part.replace(/[.+?^${}()|[\]\\]/g, "\\$&")
  })
  const expression = new RegExp(`^${parts.join("")}$`)
  return (path) => expression.test(path)
}
