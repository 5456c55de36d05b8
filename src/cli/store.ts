import { openStore } from "../app/disk.ts"
import { loadConfig } from "../config/load.ts"
import { createMetrics } from "../telemetry/metrics.ts"
import { readArguments } from "./args.ts"
import { type Command, type CommandIO, unknownCommand } from "./io.ts"

type Store = ReturnType<typeof openStore>

const VERBS: Readonly<Record<string, (store: Store, io: CommandIO) => Promise<number>>> = {
  stats: async (store, { out }) => {
    out(`${JSON.stringify(await store.stats(), null, 2)}\n`)
    return 0
  },
  gc: async (store, { out }) => {
    const before = await store.stats()
    await store.collect()
    const after = await store.stats()
    out(
      `removed ${before.blobs - after.blobs} blobs, ${before.bytes - after.bytes} bytes; ${after.blobs} blobs, ${after.bytes} bytes are left\n`,
    )
    return 0
  },
  verify: async (store, { out }) => {
    const { checked, wrong, unreadable } = await store.verifyAll()
    for (const digest of wrong) out(`wrong, put aside: ${digest}\n`)
    for (const digest of unreadable) out(`cannot be read: ${digest}\n`)
    const trouble = unreadable.length === 0 ? "" : `, ${unreadable.length} could not be read`
    out(`${checked} blobs checked, ${wrong.length} were wrong${trouble}\n`)
    return wrong.length + unreadable.length === 0 ? 0 : 1
  },
}

/** `store stats|gc|verify <config.json>`: looks after a disk store, also while a process serves from it. */
export const store: Command = async ([verb, ...args], io) => {
  const work = Object.hasOwn(VERBS, verb ?? "") ? VERBS[verb ?? ""] : undefined
  if (work === undefined) throw unknownCommand(verb, Object.keys(VERBS), "store ")
  const { positionals } = readArguments(args, {}, ["config.json"])
  const { file, registry } = await loadConfig(positionals[0] ?? "")
  if (registry === null || registry.store === null) throw new Error(`${file} configures no "registry.store"`)
  const opened = openStore(
    { ...registry, store: registry.store },
    { log: io.log, metrics: createMetrics(), tuning: io.tuning },
  )
  try {
    return await work(opened, io)
  } finally {
    await opened.close()
  }
}
