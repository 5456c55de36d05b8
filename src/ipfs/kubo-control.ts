import { CID } from "multiformats/cid"
import { type Cid, parseCid } from "./cid.ts"
import type { Pin } from "./node.ts"

/** What of Kubo's RPC API is not content. Rejects as the client does, always within the signal. */
export class KuboControl {
  readonly #api: URL
  #client: Promise<Client> | null = null

  constructor(api: URL) {
    this.#api = api
  }

  async isPinned(cid: Cid, signal: AbortSignal): Promise<boolean> {
    try {
      for await (const _ of (await this.#open()).pin.ls({ paths: CID.parse(cid), type: "recursive", signal }))
        return true
      return false
    } catch (error) {
      if (isNotPinned(error)) return false
      throw error
    }
  }

  async pin(cid: Cid, name: string, signal: AbortSignal): Promise<void> {
    await (await this.#open()).pin.add(CID.parse(cid), { name, signal })
  }

  async unpin(cid: Cid, signal: AbortSignal): Promise<void> {
    try {
      await (await this.#open()).pin.rm(CID.parse(cid), { signal })
    } catch (error) {
      if (!isNotPinned(error)) throw error
    }
  }

  async *pins(prefix: string, signal: AbortSignal): AsyncGenerator<Pin> {
    for await (const { cid, name } of (await this.#open()).pin.ls({ type: "recursive", name: prefix, signal })) {
      const parsed = parseCid(cid.toString())
      if (parsed !== null && name?.startsWith(prefix) === true) yield { cid: parsed, name }
    }
  }

  async collect(signal: AbortSignal): Promise<void> {
    for await (const { err } of (await this.#open()).repo.gc({ quiet: true, signal })) if (err) throw err
  }

  async repoBytes(signal: AbortSignal) {
    const { repoSize, storageMax } = await (await this.#open()).repo.stat({ signal })
    return { used: Number(repoSize), max: Number(storageMax) }
  }

  /** Private is a node with no bootstrap peers and no way to be found; with a swarm key, all of its peers are known. */
  async isPublic(signal: AbortSignal): Promise<boolean> {
    const config: NodeConfig = await (await this.#open()).config.getAll({ signal })
    const isFindable = config.Routing?.Type !== "none"
    return isFindable && (config.Bootstrap ?? []).length > 0
  }

  /** Loaded when first used: it costs 30 MB of memory. */
  async #open(): Promise<Client> {
    this.#client ??= import("kubo-rpc-client").then(({ create }) => create({ url: new URL("/api/v0", this.#api) }))
    return await this.#client
  }
}

type Client = ReturnType<typeof import("kubo-rpc-client")["create"]>

interface NodeConfig {
  readonly Bootstrap?: readonly string[] | null
  readonly Routing?: { readonly Type?: string }
}

const isNotPinned = (error: unknown): boolean =>
  error instanceof Error && /is not pinned|not pinned or pinned indirectly/.test(error.message)
