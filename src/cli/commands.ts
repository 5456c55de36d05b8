import { COMMIT, VERSION } from "../version.ts"
import { compose } from "./compose.ts"
import { config } from "./config.ts"
import { createSpec } from "./create-spec.ts"
import { type Command, unknownCommand } from "./io.ts"
import { run } from "./run.ts"
import { setup } from "./setup.ts"
import { store } from "./store.ts"

const HELP = `registry-facade composes container images while they are pulled.

Usage: registry-facade [-j|--json-log[=true]] [-v|--verbose] <command>

  run <config.json> [--share-ports]  serve what the configuration has, also beside the
                                     process that it replaces
  setup --hostname H --hostfs DIR    make containerd on the machine whose root is DIR pull
      [--port 31750] [--ca FILE]     from the facade beside it
      [--check | --uninstall]        tell what it would do, undo it
  compose <config.json> <name>       print what an image consists of
      [--platform os/arch]
      [--output oci:DIR[:tag]]       write it as an OCI layout instead
  config check <config.json>         tell what is wrong with a configuration
  config schema                      print its JSON Schema
  store stats|gc|verify <config.json>
                                     look after the disk store
  ipfs status|reindex <config.json>  tell what the IPFS node has, put it back into the index
  ipfs pin|unpin <config.json> <digest>
                                     share a blob of the store, or no longer
  debug create-spec [--base-ref R]   print an ImageSpec to begin with
      [--ide-ref R] [--supervisor-ref R]
      [--layer image=REF|file=PATH|dir=PATH[:DEST]|url=URL@DIGEST]
      [--base64]                     print it as protobuf in base64
  version, help

Logs are JSON lines; --json-log=false makes them text, --verbose shows more.
`

const debug: Command = async ([verb, ...args], io) => {
  if (verb === "create-spec") return await createSpec(args, io)
  throw unknownCommand(verb, ["create-spec"], "debug ")
}

/** Loaded when it is asked for: what speaks to IPFS takes a part of every start. */
const ipfs: Command = async (args, io) => await (await import("./ipfs.ts")).ipfs(args, io)

const help: Command = async (_args, { out }) => {
  out(HELP)
  return 0
}

const version: Command = async (_args, { out }) => {
  out(`registry-facade ${VERSION} (commit ${COMMIT}, bun ${Bun.version})\n`)
  return 0
}

const COMMANDS: Readonly<Record<string, Command>> = { run, setup, compose, config, store, ipfs, debug, version, help }

/** Throws UsageError for a name that is none. */
export function findCommand(name: string | undefined): Command {
  const command = name !== undefined && Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined
  if (command === undefined) throw unknownCommand(name, Object.keys(COMMANDS))
  return command
}
