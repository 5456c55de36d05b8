export interface GlobalFlags {
  readonly isJson: boolean
  readonly isVerbose: boolean
  /** The command and its arguments. */
  readonly rest: readonly string[]
}

const FALSE = new Set(["false", "0", "f", "F", "FALSE", "False"])

/** Takes the flags that stand anywhere before or after the command, as the original's command line allowed. */
export function readGlobalFlags(args: readonly string[]): GlobalFlags {
  let isJson = true
  let isVerbose = false
  const rest = args.filter((arg) => {
    const [, name, value] = /^(-j|--json-log|-v|--verbose)(?:=(.*))?$/.exec(arg) ?? []
    if (name === undefined) return true
    const isOn = value === undefined || !FALSE.has(value)
    if (name === "-j" || name === "--json-log") isJson = isOn
    else isVerbose = isOn
    return false
  })
  const wantsHelp = rest.includes("--help") || rest.includes("-h")
  return { isJson, isVerbose, rest: wantsHelp ? ["help"] : rest }
}
