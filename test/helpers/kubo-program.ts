import { writeFileSync } from "node:fs"
import { join } from "node:path"
import type { KuboPorts, KuboProgram } from "./kubo.ts"
import { findProgram, output } from "./programs.ts"

/** Makes the repository of a real Kubo node in a private network on loopback. */
export async function prepareKubo(dir: string, ports: KuboPorts, swarmKey: string): Promise<KuboProgram> {
  const env = { IPFS_PATH: dir, LIBP2P_FORCE_PNET: "1", IPFS_TELEMETRY: "off", IPFS_LOGGING: "error" }
  const program = findProgram("ipfs") ?? "ipfs"
  const ipfs = async (...command: readonly string[]) => await output([program, ...command], { env })
  await ipfs("init", "--profile=test")
  writeFileSync(join(dir, "swarm.key"), swarmKey)
  await ipfs("bootstrap", "rm", "--all")
  await ipfs("config", "Routing.Type", "none")
  await ipfs("config", "--json", "Provide.Enabled", "false")
  await ipfs("config", "Addresses.API", `/ip4/127.0.0.1/tcp/${ports.api}`)
  await ipfs("config", "Addresses.Gateway", `/ip4/127.0.0.1/tcp/${ports.gateway}`)
  await ipfs("config", "--json", "Addresses.Swarm", `["/ip4/127.0.0.1/tcp/${ports.swarm}"]`)
  return { command: [program, "daemon"], env }
}
