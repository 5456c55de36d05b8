import { type ParseArgsOptionsConfig, parseArgs } from "node:util"
import { findClosest } from "../lib/closest.ts"
import { UsageError } from "./io.ts"

export interface Arguments<Options extends ParseArgsOptionsConfig> {
  readonly values: ReturnType<typeof parseArgs<{ options: Options; allowPositionals: true }>>["values"]
  readonly positionals: readonly string[]
}

/** Parses a command's own arguments. Throws UsageError that names a near option for an unknown one. */
export function readArguments<Options extends ParseArgsOptionsConfig>(
  args: readonly string[],
  options: Options,
  positionals: readonly string[],
): Arguments<Options> {
  const parsed = parse(args, options)
  if (parsed.positionals.length === positionals.length) return parsed
  const extra = parsed.positionals[positionals.length]
  if (extra !== undefined) throw new UsageError(`unexpected argument ${JSON.stringify(extra)}`)
  throw new UsageError(`missing argument <${positionals[parsed.positionals.length]}>`)
}

function parse<Options extends ParseArgsOptionsConfig>(args: readonly string[], options: Options): Arguments<Options> {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true, strict: true })
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    const unknown = /option '--?([^' =]+)/.exec(message)?.[1]
    const closest = unknown === undefined ? null : findClosest(unknown, Object.keys(options))
    if (unknown === undefined || !message.startsWith("Unknown")) throw new UsageError(message)
    throw new UsageError(`unknown option --${unknown}${closest === null ? "" : `, did you mean --${closest}?`}`)
  }
}
