import { checkedAuthorities } from "../lib/pem.ts"
import { type Change, missingConfigPath, planRemoval, planSetup } from "../setup/setup.ts"
import { readArguments } from "./args.ts"
import { type Command, UsageError } from "./io.ts"

const OPTIONS = {
  hostname: { type: "string" },
  hostfs: { type: "string" },
  port: { type: "string", default: "31750" },
  ca: { type: "string" },
  check: { type: "boolean", default: false },
  uninstall: { type: "boolean", default: false },
} as const

/** Where the original's init container had its authority mounted. */
const DEFAULT_CA = "/usr/local/share/ca-certificates/gitpod-ca.crt"

/** Makes containerd on a machine pull from the facade beside it, tells what it would take, or undoes it. */
export const setup: Command = async (args, { out }) => {
  const { values } = readArguments(args, OPTIONS, [])
  const { check, uninstall } = values
  if (check && uninstall) throw new UsageError("--check and --uninstall exclude each other")
  const hostname = hostnameOf(values.hostname)
  const hostfs = values.hostfs ?? ""
  if (hostfs === "") throw new UsageError("--hostfs is missing: the root directory of the machine")
  const target = { hostfs, hostname, port: portOf(values.port) }
  const changes = uninstall ? planRemoval(target) : planSetup({ ...target, ca: await readAuthority(values.ca) })
  const hint = uninstall ? null : missingConfigPath(hostfs)
  if (hint !== null) out(`note: ${hint}\n`)
  if (changes.length === 0) out("nothing to do\n")
  for (const change of changes) carryOut(change, check, out)
  return check && changes.length > 0 ? 1 : 0
}

function carryOut({ text, apply }: Change, isCheck: boolean, out: (text: string) => void): void {
  if (!isCheck) apply()
  out(`${isCheck ? "would " : ""}${text}\n`)
}

function hostnameOf(text = ""): string {
  if (text === "") throw new UsageError("--hostname is missing: the name that images are pulled by")
  const name = text.toLowerCase()
  const isName = name.length <= 253 && /^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/.test(name)
  if (!isName) throw new UsageError(`--hostname ${JSON.stringify(text)} is no host name`)
  return name
}

function portOf(text: string): number {
  const port = Number(text)
  if (!/^\d+$/.test(text) || port < 1 || port > 65_535)
    throw new UsageError(`--port ${JSON.stringify(text)} is no port`)
  return port
}

/** Null: none is given, and none is where the original had it. */
async function readAuthority(file: string | undefined): Promise<string | null> {
  const path = file ?? DEFAULT_CA
  if (file === undefined && !(await Bun.file(path).exists())) return null
  const text = await Bun.file(path)
    .text()
    .catch((cause) => Promise.reject(new Error(`Cannot read --ca ${path}`, { cause })))
  return checkedAuthorities(`--ca ${path}`, text)
}
