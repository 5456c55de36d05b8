const ADDRESS = "127.0.0.1"
const MARK = "# registry-facade"

interface Line {
  readonly text: string
  readonly address: string
  readonly names: readonly string[]
}

/**
 * A hosts file (hosts(5)) in which the name means this machine, and nothing else. Lines that do not name it stay as they
 * are, byte for byte; where a line gives it another address, it is taken out of that line.
 */
export function withHost(text: string, name: string): string {
  const lines = readLines(text)
  const isThere = lines.some((line) => names(line, name) && line.address === ADDRESS)
  const kept = lines.flatMap((line) =>
    names(line, name) && line.address !== ADDRESS ? without(line, name) : [line.text],
  )
  const added = isThere ? [] : [`${ADDRESS} ${name} ${MARK}`]
  return joined([...kept, ...added])
}

/** The same without the lines that `withHost` has added. */
export const withoutHost = (text: string, name: string): string =>
  joined(readLines(text).flatMap((line) => (names(line, name) && line.text.endsWith(MARK) ? [] : [line.text])))

function readLines(text: string): readonly Line[] {
  const lines = text.split("\n")
  if (lines.at(-1) === "") lines.pop()
  return lines.map((line) => {
    const [address = "", ...fields] = line.replace(/#.*/s, "").trim().split(/\s+/)
    return { text: line, address, names: fields }
  })
}

const names = (line: Line, name: string): boolean => line.names.some((other) => other.toLowerCase() === name)

/** Nothing, where the line has no other name. */
function without({ text, address, names: all }: Line, name: string): readonly string[] {
  const rest = all.filter((other) => other.toLowerCase() !== name)
  const comment = /#.*/s.exec(text)?.[0]
  return rest.length === 0 ? [] : [[address, ...rest, ...(comment === undefined ? [] : [comment])].join(" ")]
}

const joined = (lines: readonly string[]): string => (lines.length === 0 ? "" : `${lines.join("\n")}\n`)
