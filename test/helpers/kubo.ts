import { randomBytes } from "node:crypto"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { freePort } from "./free-port.ts"
import { eventually, findProgram, output } from "./programs.ts"
import { tempDir } from "./temp-dir.ts"

export interface KuboNode {
  /** Its repository. */
  readonly dir: string
  readonly api: string
  readonly gateway: string
  /** The configuration's `ipfs`. */
  readonly config: Readonly<Record<string, unknown>>
  /** Runs one command of `ipfs` on this node. */
  ipfs(...command: readonly string[]): Promise<string>
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

export const newSwarmKey = (): string => `/key/swarm/psk/1.0.0/\n/base16/\n${randomBytes(32).toString("hex")}\n`

/** A real Kubo node in a private network on loopback. */
export async function startKubo({ swarmKey = newSwarmKey() }: KuboOptions = {}): Promise<KuboNode> {
  const dir = tempDir()
  const [apiPort, gatewayPort, swarmPort] = [freePort(), freePort(), freePort()]
  const env = { IPFS_PATH: dir, LIBP2P_FORCE_PNET: "1", IPFS_TELEMETRY: "off", IPFS_LOGGING: "error" }
  const ipfs = async (...command: readonly string[]) =>
    (await output([findProgram("ipfs") ?? "ipfs", ...command], { env })).trim()
  await ipfs("init", "--profile=test")
  writeFileSync(join(dir, "swarm.key"), swarmKey)
  await ipfs("bootstrap", "rm", "--all")
  await ipfs("config", "Routing.Type", "none")
  await ipfs("config", "--json", "Provide.Enabled", "false")
  await ipfs("config", "Addresses.API", `/ip4/127.0.0.1/tcp/${apiPort}`)
  await ipfs("config", "Addresses.Gateway", `/ip4/127.0.0.1/tcp/${gatewayPort}`)
  await ipfs("config", "--json", "Addresses.Swarm", `["/ip4/127.0.0.1/tcp/${swarmPort}"]`)
  const api = `http://127.0.0.1:${apiPort}`
  let daemon: ReturnType<typeof spawnDaemon> | null = null
  const start = async () => {
    daemon = spawnDaemon(env)
    await eventually(async () => ((await fetch(`${api}/api/v0/id`, { method: "POST" })).ok ? true : null), 30_000)
  }
  await start()
  return {
    dir,
    api,
    gateway: `http://127.0.0.1:${gatewayPort}`,
    config: {
      enabled: true,
      ipfsAddr: `/ip4/127.0.0.1/tcp/${apiPort}`,
      gatewayAddr: `http://127.0.0.1:${gatewayPort}`,
    },
    ipfs,
    freeze: () => daemon?.kill("SIGSTOP"),
    thaw: () => daemon?.kill("SIGCONT"),
    kill: async () => {
      daemon?.kill("SIGKILL")
      await daemon?.exited
    },
    start,
    connect: async (other) => {
      const [address = ""] = JSON.parse(await other.ipfs("id")).Addresses
      await ipfs("swarm", "connect", address)
    },
  }
}

const spawnDaemon = (env: Readonly<Record<string, string>>) =>
  Bun.spawn([findProgram("ipfs") ?? "ipfs", "daemon"], {
    env: { ...process.env, ...env },
    stdio: ["ignore", "ignore", "ignore"],
  })
