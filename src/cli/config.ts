import { checkFiles } from "../app/check-files.ts"
import { loadConfig } from "../config/load.ts"
import { configSchema } from "../config/schema.ts"
import { parseSpecs } from "../spec/fixed.ts"
import { readArguments } from "./args.ts"
import { type Command, unknownCommand } from "./io.ts"

/** `config check <config.json>` and `config schema`. */
export const config: Command = async ([verb, ...args], io) => {
  if (verb === "check") return await check(args, io)
  if (verb === "schema") return await schema(args, io)
  throw unknownCommand(verb, ["check", "schema"], "config ")
}

const check: Command = async (args, { err, out }) => {
  const { positionals } = readArguments(args, {}, ["config.json"])
  const config = await loadConfig(positionals[0] ?? "")
  const { file, registry } = config
  for (const problem of await checkFiles(config)) err(`Warning: ${problem}\n`)
  const specs = registry?.fixedSpecs ?? null
  const count = specs === null ? null : parseSpecs(specs, await Bun.file(specs).text()).size
  out(`${file} is valid${count === null ? "" : `, and so are the ${count} specs in ${specs}`}\n`)
  return 0
}

const schema: Command = async (args, { out }) => {
  readArguments(args, {}, [])
  out(`${JSON.stringify({ $schema: "https://json-schema.org/draft/2020-12/schema", ...configSchema }, null, 2)}\n`)
  return 0
}
