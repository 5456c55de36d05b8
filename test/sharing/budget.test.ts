import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { readdirSync, rmSync } from "node:fs"
import { base32upper } from "multiformats/bases/base32"
import { CID } from "multiformats/cid"
import { KnownCids } from "../../src/ipfs/known-cids.ts"
import { Kubo } from "../../src/ipfs/kubo.ts"
import { KuboControl } from "../../src/ipfs/kubo-control.ts"
import { formatPinName } from "../../src/ipfs/pin-name.ts"
import { Pins } from "../../src/ipfs/pins.ts"
import { PROFILES, type Profile } from "../../src/ipfs/unixfs.ts"
import type { KeyValue } from "../../src/lib/key-value.ts"
import { type Digest, parseDigest } from "../../src/oci/digest.ts"
import { createMetrics } from "../../src/telemetry/metrics.ts"
import { testEgress } from "../helpers/egress.ts"
import { sha256 } from "../helpers/images.ts"
import { type KuboNode, needsNode, startKubo } from "../helpers/kubo.ts"
import { never } from "../helpers/layers.ts"
import { noise } from "../helpers/sharing.ts"
import { silentLogger } from "../helpers/silent-logger.ts"
import { tempDir } from "../helpers/temp-dir.ts"

setDefaultTimeout(60_000)

const MB = 1_000_000
const PREFIX = "rf/test/"

function memory(): KeyValue {
  const values = new Map<string, string>()
  return { get: async (key) => values.get(key) ?? null, set: async (key, value) => void values.set(key, value) }
}

const required = needsNode()
describe.skipIf(required.isMissing)(`pins on a real node${required.note}`, () => {
  let server: KuboNode
  let node: Kubo
  let seed = 0
  beforeAll(async () => {
    server = await startKubo()
    const api = new URL(server.api)
    const egress = testEgress()
    const gateway = new URL(server.gateway)
    node = new Kubo({ api, gateway, egress, uploads: egress, control: new KuboControl(api) })
  })
  afterAll(async () => await server?.kill())

  interface Setting {
    readonly pins: Pins
    readonly index: KnownCids
    readonly uses: KeyValue
  }

  function open(budgetBytes: number): Setting {
    const uses = memory()
    const index = new KnownCids(memory(), null)
    const metrics = createMetrics()
    const common = { node, index, shared: null, replicas: null, pinPrefix: PREFIX, uses, log: silentLogger, metrics }
    return { pins: new Pins({ ...common, budgetBytes, now: Date.now }), index, uses }
  }

  async function addAndPin({ index }: Setting, megabytes: number): Promise<Digest> {
    seed += 1
    const text = noise(seed, megabytes * MB)
    const digest = parseDigest(sha256(text))
    const path = `${tempDir()}/blob`
    await Bun.write(path, text)
    const name = formatPinName(PREFIX, { digest, size: text.length })
    const { cid } = await node.add(
      { path, size: text.length, profile: PROFILES["unixfs-v1-2025"] as Profile, name },
      never,
    )
    await index.put({ digest, cid, size: text.length, mediaType: "" })
    return digest
  }

  const digests = async ({ pins }: Setting) => (await pins.list(never)).map(({ digest }) => digest).toSorted()

  test("above the budget, what nobody has pinned goes first, then the longest unused; pins of others stay", async () => {
    const { used } = await node.repoBytes(never)
    const setting = open(used + 12 * MB)
    const [old, oldest, recent] = [
      await addAndPin(setting, 4),
      await addAndPin(setting, 4),
      await addAndPin(setting, 4),
    ]
    await setting.uses.set(oldest, "1000")
    await setting.uses.set(old, "2000")
    await setting.uses.set(recent, "3000")
    const foreign = `${tempDir()}/foreign`
    await Bun.write(foreign, noise(900, MB))
    const pinned = await server.add(foreign, { "pin-name": "rf/other" })
    await Bun.write(foreign, noise(901, 3 * MB))
    await server.add(foreign, { pin: "false" })

    await setting.pins.enforce(never)
    expect(await digests(setting)).toEqual([old, recent].toSorted())
    expect((await node.repoBytes(never)).used).toBeLessThan(used + 12 * MB)
    expect(await setting.index.find(oldest)).toBeNull()
    expect(await setting.index.find(recent)).not.toBeNull()
    expect(await server.pins()).toContain(pinned)

    await Bun.write(foreign, noise(902, 4 * MB))
    await server.add(foreign, { pin: "false" })
    await setting.pins.enforce(never)
    expect(await digests(setting)).toEqual([old, recent].toSorted())
  })

  test("what the node has lost is taken out of the index, though it is pinned; what the index has lost is put back", async () => {
    const setting = open(0)
    const [lost, kept] = [await addAndPin(setting, 3), await addAndPin(setting, 3)]
    const { cid } = (await setting.pins.list(never)).find(({ digest }) => digest === lost) ?? {}
    const other = (await setting.pins.list(never)).find(({ digest }) => digest === kept)
    await loseRoot(server, cid ?? "")
    if (other !== undefined) await setting.index.drop(kept, other.cid)

    expect(await setting.pins.reconcile(never)).toMatchObject({ lost: 1 })
    expect(await setting.index.find(lost)).toBeNull()
    expect(await setting.index.find(kept)).toBe(other?.cid ?? null)
  })
})

/** As a disk does. Blocks are files that are called by their multihash in base32. */
async function loseRoot(server: KuboNode, cid: string): Promise<void> {
  const name = base32upper.encode(CID.parse(cid).multihash.bytes).slice(1)
  await server.kill()
  const paths = readdirSync(`${server.dir}/blocks`, { recursive: true, encoding: "utf8" })
  rmSync(`${server.dir}/blocks/${paths.find((path) => path.endsWith(`${name}.data`))}`)
  await server.start()
}
