export interface Challenge {
  /** Lower case. */
  readonly scheme: string
  readonly parameters: Readonly<Record<string, string>>
}

const TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+"
const SCHEME = new RegExp(`^[\\s,]*(${TOKEN})(?=\\s|$|,)`)
const PARAMETER = new RegExp(`^[\\s,]*(${TOKEN})\\s*=\\s*(?:"((?:[^"\\\\]|\\\\.)*)"|(${TOKEN}))`)
/** Data of a scheme that is no list of parameters, as Negotiate has it. */
const TOKEN68 = /^\s+[A-Za-z0-9._~+/-]+=*(?=\s*(?:,|$))/
const MAX_LENGTH = 16 * 1024

/** Reads a WWW-Authenticate header, which may hold several challenges (RFC 9110, 11.6.1). What is not understood is left out. */
export function parseChallenges(header: string): readonly Challenge[] {
  const challenges: Challenge[] = []
  let rest = header.slice(0, MAX_LENGTH)
  for (let scheme = SCHEME.exec(rest); scheme !== null; scheme = SCHEME.exec(rest)) {
    rest = rest.slice(scheme[0].length).replace(TOKEN68, "")
    const parameters: Record<string, string> = {}
    for (let match = PARAMETER.exec(rest); match !== null; match = PARAMETER.exec(rest)) {
      const [whole, name = "", quoted, bare] = match
      parameters[name.toLowerCase()] = quoted?.replace(/\\(.)/g, "$1") ?? bare ?? ""
      rest = rest.slice(whole.length)
    }
    challenges.push({ scheme: scheme[1]?.toLowerCase() ?? "", parameters })
  }
  return challenges
}
