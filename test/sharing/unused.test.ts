import { describe, expect, test } from "bun:test"
import { join } from "node:path"
import { output } from "../helpers/programs.ts"
import { tempDir } from "../helpers/temp-dir.ts"

const SRC = join(import.meta.dir, "../../src")

/** Which of the clients a process has loaded once it serves, by its configuration. */
async function loaded(registry: Readonly<Record<string, unknown>>): Promise<readonly string[]> {
  const dir = tempDir()
  await Bun.write(`${dir}/specs.json`, "{}")
  const common = { port: 0, host: "127.0.0.1", store: "store", fixedSpecFN: "specs.json" }
  await Bun.write(`${dir}/config.json`, JSON.stringify({ registry: { ...common, ...registry } }))
  const script = `
    const { startApp } = await import("${SRC}/app/app.ts")
    const { loadConfig } = await import("${SRC}/config/load.ts")
    const { silentLogger } = await import("${SRC}/../test/helpers/silent-logger.ts")
    await startApp(await loadConfig("${dir}/config.json"), { log: silentLogger })
    const names = Object.keys(require.cache).map((path) => /node_modules\\/(ioredis|kubo-rpc-client)\\//.exec(path)?.[1])
    console.log(JSON.stringify([...new Set(names)].filter((name) => name !== undefined)))
    process.exit(0)`
  const lines = (await output([process.execPath, "-e", script])).trim().split("\n")
  return JSON.parse(lines.at(-1) ?? "")
}

describe("clients of Redis and IPFS", () => {
  test("are not loaded where neither is configured", async () => {
    expect(await loaded({})).toEqual([])
  })

  test("are loaded where they are configured", async () => {
    const redis = { enabled: true, singleHostAddr: "127.0.0.1:1" }
    const ipfs = { enabled: true, ipfsAddr: "/ip4/127.0.0.1/tcp/1" }
    expect(await loaded({ redis, ipfs })).toContain("ioredis")
  })
})
