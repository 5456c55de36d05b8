import { describe, expect, setDefaultTimeout, test } from "bun:test"
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { freePort } from "../helpers/free-port.ts"
import { fencesOf, ROOT, readPage } from "../helpers/markdown.ts"
import { needs, output, startServer } from "../helpers/programs.ts"
import { tempDir } from "../helpers/temp-dir.ts"

setDefaultTimeout(60_000)

const SWARM_KEY = "5f".repeat(32)
const READY = /Daemon is ready/

describe("private swarms", () => {
  const ipfs = needs("bash", "ipfs")
  test.skipIf(ipfs.isMissing)(`start as docs/ipfs.md shows${ipfs.note}`, async () => {
    const recipe = fencesOf(readPage("docs/ipfs.md")).find(({ text }) => text.startsWith("ipfs init"))?.text ?? ""
    const daemon = /^.*ipfs daemon$/m.exec(recipe)?.[0] ?? ""
    const env = { IPFS_PATH: join(tempDir(), "ipfs"), SWARM_KEY }
    mkdirSync(env.IPFS_PATH)
    await output(["bash", "-euc", recipe.replace(daemon, "")], { env })
    await output(["ipfs", "config", "Addresses.API", `/ip4/127.0.0.1/tcp/${freePort()}`], { env })
    await output(["ipfs", "config", "Addresses.Gateway", `/ip4/127.0.0.1/tcp/${freePort()}`], { env })
    await output(["ipfs", "config", "--json", "Addresses.Swarm", '["/ip4/127.0.0.1/tcp/0"]'], { env })
    const { stop } = await startServer(
      ["bash", "-c", `${daemon.replace("ipfs daemon", "exec ipfs daemon")} >&2`],
      READY,
      { env },
    )

    expect(await output(["ipfs", "bootstrap", "list"], { env })).toBe("")
    expect((await output(["ipfs", "swarm", "peers"], { env })).trim()).toBe("")
    await stop()
  })

  const root = needs("root", "ipfs", "unshare", "ip")
  test.skipIf(root.isMissing)(
    `start by the chart's script, with the RPC port on loopback alone${root.note}`,
    async () => {
      const dir = tempDir()
      // The image has them; here is nobody to meet
      for (const name of ["httpd", "nslookup", "wget"]) writeFileSync(join(dir, name), "#!/bin/sh\n", { mode: 0o755 })
      const script = join(ROOT, "deploy/helm/registry-facade/files/kubo.sh")
      const alone = ["unshare", "--net", "sh", "-c"]
      const command = `ip link set lo up && PATH="${dir}:$PATH" exec sh ${script} >&2`
      const env = { IPFS_PATH: join(dir, "ipfs"), SWARM_KEY, PEERS: "swarm" }
      mkdirSync(env.IPFS_PATH)
      const { match, stop } = await startServer([...alone, command], READY, { env })
      await stop()

      expect(match.input).toContain("Swarm is limited to private network of peers with the swarm key")
      expect(match.input).toContain("RPC API server listening on /ip4/127.0.0.1/tcp/5001")
      expect(match.input).not.toMatch(/ERROR|telemetry will be enabled/)
    },
  )
})
