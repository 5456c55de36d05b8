import { randomBytes } from "node:crypto"
import { join } from "node:path"
import { parseCid } from "../../src/ipfs/cid.ts"
import { freePort } from "./free-port.ts"
import { prepareKubo } from "./kubo-program.ts"
import { eventually, findProgram, needs, type Requirement } from "./programs.ts"
import { tempDir } from "./temp-dir.ts"

export interface KuboNode {
  /** Its repository. */
  readonly dir: string
  readonly api: string
  readonly gateway: string
  /** The configuration's `ipfs`. */
  readonly config: Readonly<Record<string, unknown>>
  /** Adds a file, as `ipfs add` does with these options, and gives its CID. */
  add(path: string, options?: Readonly<Record<string, string>>): Promise<string>
  /** What is pinned, by CID. */
  pins(): Promise<readonly string[]>
  read(cid: string): Promise<Uint8Array>
  /** Sets one value of its configuration, like `Routing.Type`. */
  configure(key: string, value: unknown): Promise<void>
  freeze(): void
  thaw(): void
  /** Ends the daemon as a crash does; what it has stays. */
  kill(): Promise<void>
  /** Starts it again. */
  start(): Promise<void>
  connect(other: KuboNode): Promise<void>
}

export interface KuboOptions {
  /** Of the private network; nodes with the same one can meet. */
  readonly swarmKey?: string
}

/** How to run a node that serves these ports of 127.0.0.1. */
export interface KuboProgram {
  readonly command: readonly string[]
  readonly env: Readonly<Record<string, string>>
}

export interface KuboPorts {
  readonly api: number
  readonly gateway: number
  readonly swarm: number
}

/**
 * Where there is no Kubo, and where it is asked for, a node made of helia stands in. It may come to its first byte later
 * than the program asks the upstream as well.
 */
export const isHelia = process.env["TEST_IPFS"] === "helia" || findProgram("ipfs") === null
if (isHelia) process.stderr.write("Tests of sharing run on IPFS nodes made of helia instead of Kubo.\n")

/** Besides an IPFS node, which there always is. */
export function needsNode(...programs: readonly string[]): Requirement {
  const { isMissing, note } = needs(...programs)
  return { isMissing, note: isHelia ? `${note} (on helia)` : note }
}

/** For what only Kubo itself can do. */
export function needsKubo(...programs: readonly string[]): Requirement {
  const required = needs("ipfs", ...programs)
  if (required.isMissing || !isHelia) return required
  return { isMissing: true, note: " (SKIPPED, needs Kubo itself, not helia)" }
}

export const newSwarmKey = (): string => `/key/swarm/psk/1.0.0/\n/base16/\n${randomBytes(32).toString("hex")}\n`

/** A Kubo node in a private network on loopback, or one made of helia that knows nobody. */
export async function startKubo({ swarmKey = newSwarmKey() }: KuboOptions = {}): Promise<KuboNode> {
  const dir = tempDir()
  const ports = { api: freePort(), gateway: freePort(), swarm: freePort() }
  const { command, env } = isHelia ? prepareHelia(dir, ports) : await prepareKubo(dir, ports, swarmKey)
  const api = `http://127.0.0.1:${ports.api}`
  const gateway = `http://127.0.0.1:${ports.gateway}`
  let daemon: ReturnType<typeof Bun.spawn> | null = null
  const start = async () => {
    daemon = Bun.spawn([...command], { env: { ...process.env, ...env }, stdio: ["ignore", "ignore", "ignore"] })
    await eventually(async () => ((await fetch(`${api}/api/v0/id`, { method: "POST" })).ok ? true : null), 30_000)
  }
  await start()
  return {
    dir,
    api,
    gateway,
    config: { enabled: true, ipfsAddr: `/ip4/127.0.0.1/tcp/${ports.api}`, gatewayAddr: gateway },
    add: async (path, options = {}) => {
      const form = new FormData()
      form.set("file", Bun.file(path), "blob")
      const answer = await rpc(api, `add?${new URLSearchParams({ progress: "false", ...options })}`, form)
      return normal(JSON.parse(answer).Hash)
    },
    pins: async () => {
      const answer = await rpc(api, "pin/ls?type=recursive&stream=true")
      return answer.split("\n").flatMap((line) => (line === "" ? [] : [normal(JSON.parse(line).Cid)]))
    },
    read: async (cid) => await (await fetch(`${gateway}/ipfs/${cid}`)).bytes(),
    configure: async (key, value) => {
      const query = new URLSearchParams([
        ["arg", key],
        ["arg", JSON.stringify(value)],
        ["json", "true"],
      ])
      await rpc(api, `config?${query}`)
    },
    freeze: () => daemon?.kill("SIGSTOP"),
    thaw: () => daemon?.kill("SIGCONT"),
    kill: async () => {
      daemon?.kill("SIGKILL")
      await daemon?.exited
    },
    start,
    connect: async (other) => {
      const [address = ""] = JSON.parse(await rpc(other.api, "id")).Addresses
      await rpc(api, `swarm/connect?${new URLSearchParams({ arg: address })}`)
    },
  }
}

function prepareHelia(dir: string, { api, gateway, swarm }: KuboPorts): KuboProgram {
  const main = join(import.meta.dir, "helia/main.ts")
  return { command: [process.execPath, main, dir, `${api}`, `${gateway}`, `${swarm}`], env: {} }
}

async function rpc(api: string, path: string, body: FormData | null = null): Promise<string> {
  const response = await fetch(`${api}/api/v0/${path}`, { method: "POST", body })
  const text = await response.text()
  if (!response.ok) throw new Error(`${path}: ${response.status} ${text}`)
  return text
}

/** One text for what nodes write in several bases and versions. */
const normal = (cid: string): string => parseCid(cid) ?? cid
