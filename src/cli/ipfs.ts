import { commandTools } from "../app/command-tools.ts"
import { openStore } from "../app/disk.ts"
import { buildIpfs, type IpfsParts } from "../app/ipfs.ts"
import { buildRedis } from "../app/redis.ts"
import { type Config, loadConfig } from "../config/load.ts"
import { parseDigest } from "../oci/digest.ts"
import { readArguments } from "./args.ts"
import { type Command, type CommandIO, unknownCommand } from "./io.ts"

type Store = ReturnType<typeof openStore>

interface Work {
  readonly ipfs: IpfsParts
  readonly store: Store
  readonly digest: string
  readonly io: CommandIO
  readonly signal: AbortSignal
}

const LIMIT_MS = 10 * 60_000

const VERBS: Readonly<Record<string, (work: Work) => Promise<number>>> = {
  status: async ({ ipfs, io, signal }) => {
    const pins = await ipfs.pins.list(signal)
    const status = {
      repo: await ipfs.node.repoBytes(signal),
      isPublic: await ipfs.node.isPublic(signal),
      pins: pins.length,
      pinnedBytes: pins.reduce((sum, { size }) => sum + size, 0),
      clusterPeer: (await ipfs.cluster?.peer(signal)) ?? null,
    }
    io.out(`${JSON.stringify(status, null, 2)}\n`)
    return 0
  },
  reindex: async ({ ipfs, io, signal }) => {
    const { lost, restored } = await ipfs.pins.reconcile(signal)
    io.out(`${restored} blobs put back into the index\n`)
    if (lost > 0) io.out(`${lost} blobs taken out of it: they are pinned, but the node has lost them\n`)
    return 0
  },
  pin: async ({ ipfs, store, digest, io }) => {
    const file = await store.file(parseDigest(digest))
    if (file === null) throw new Error(`Cannot share ${digest}: the store does not have it; pull it first`)
    const result = await ipfs.publisher.publish(file)
    io.out(`${digest}: ${result}\n`)
    return result === "added" ? 0 : 1
  },
  unpin: async ({ ipfs, digest, io, signal }) => {
    const parsed = parseDigest(digest)
    const pin = (await ipfs.pins.list(signal)).find((one) => one.digest === parsed)
    if (pin === undefined) throw new Error(`Cannot unpin ${digest}: the IPFS node has no pin of ours for it`)
    await ipfs.pins.remove(pin, signal)
    io.out(`${digest}: removed\n`)
    return 0
  },
}

/** `ipfs status|reindex|pin|unpin <config.json> [digest]`: looks after what the IPFS node has of ours. */
export const ipfs: Command = async ([verb, ...args], io) => {
  const work = Object.hasOwn(VERBS, verb ?? "") ? VERBS[verb ?? ""] : undefined
  if (work === undefined) throw unknownCommand(verb, Object.keys(VERBS), "ipfs ")
  const takesDigest = verb === "pin" || verb === "unpin"
  const { positionals } = readArguments(args, {}, takesDigest ? ["config.json", "digest"] : ["config.json"])
  const [file = "", digest = ""] = positionals
  const opened = await open(await loadConfig(file), io)
  try {
    const signal = AbortSignal.any([io.shutdown.gentle, AbortSignal.timeout(LIMIT_MS)])
    return await work({ ...opened, digest, io, signal })
  } finally {
    await opened.close()
  }
}

async function open({ file, registry }: Config, { log, tuning }: CommandIO) {
  if (registry === null || registry.sharing.ipfs === null) throw new Error(`${file} does not enable "registry.ipfs"`)
  if (registry.store === null) throw new Error(`${file} configures no "registry.store"`)
  const tools = commandTools(log, tuning)
  const store = openStore({ ...registry, store: registry.store }, tools)
  const redis = registry.sharing.redis === null ? null : await buildRedis(registry.sharing.redis, store, tools)
  const parts = buildIpfs(registry.sharing.ipfs, { store, redis }, tools)
  const close = async () => {
    parts.close()
    redis?.close()
    await store.close()
  }
  return { ipfs: parts, store, close }
}
