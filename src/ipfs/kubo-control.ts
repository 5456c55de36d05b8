import { CID } from "multiformats/cid"
import { isRecord } from "../lib/record.ts"
import { errorText } from "../telemetry/log.ts"
import { type Cid, parseCid } from "./cid.ts"
import { type Endpoint, splitCredentials } from "./credentials.ts"
import type { Pin } from "./node.ts"

/** What of Kubo's RPC API is not content. Rejects with Error, always within the signal. */
export class KuboControl {
  readonly #api: Endpoint
  #client: Promise<Client> | null = null

  constructor(api: URL) {
    this.#api = splitCredentials(api)
  }

  async isPinned(cid: Cid, signal: AbortSignal): Promise<boolean> {
    return await this.#run("whether a blob is pinned", async ({ pin }) => {
      try {
        for await (const _ of pin.ls({ paths: CID.parse(cid), type: "recursive", signal })) return true
        return false
      } catch (error) {
        if (isNotPinned(error)) return false
        throw error
      }
    })
  }

  async pin(cid: Cid, name: string, signal: AbortSignal): Promise<void> {
    await this.#run("to pin a blob", async ({ pin }) => void (await pin.add(CID.parse(cid), { name, signal })))
  }

  async unpin(cid: Cid, signal: AbortSignal): Promise<void> {
    await this.#run("to unpin a blob", async ({ pin }) => {
      try {
        await pin.rm(CID.parse(cid), { signal })
      } catch (error) {
        if (!isNotPinned(error)) throw error
      }
    })
  }

  async *pins(prefix: string, signal: AbortSignal): AsyncGenerator<Pin> {
    const { pin } = await this.#open()
    try {
      for await (const { cid, name } of pin.ls({ type: "recursive", name: prefix, signal })) {
        const parsed = parseCid(cid.toString())
        if (parsed !== null && name?.startsWith(prefix) === true) yield { cid: parsed, name }
      }
    } catch (error) {
      throw this.#failure("what is pinned", error)
    }
  }

  async collect(signal: AbortSignal): Promise<void> {
    await this.#run("to collect garbage", async ({ repo }) => {
      for await (const { err } of repo.gc({ quiet: true, signal })) if (err) throw err
    })
  }

  async repoBytes(signal: AbortSignal) {
    return await this.#run("how much it holds", async ({ repo }) => {
      const { repoSize, storageMax } = await repo.stat({ signal })
      const [used, max] = [Number(repoSize), Number(storageMax)]
      if (!(used >= 0)) throw new Error("it did not tell")
      return { used, max }
    })
  }

  /**
   * Private is a node without bootstrap peers or without a way to be found. Whether there is a swarm key, a node does
   * not tell. What is not understood is public.
   */
  async isPublic(signal: AbortSignal): Promise<boolean> {
    const config: unknown = await this.#run(
      "for its configuration",
      async ({ config }) => await config.getAll({ signal }),
    )
    const { Bootstrap: peers, Routing: routing } = isRecord(config) ? config : {}
    const isAlone = peers === null || (Array.isArray(peers) && peers.length === 0)
    return !isAlone && !(isRecord(routing) && routing["Type"] === "none")
  }

  async #run<Result>(what: string, work: (client: Client) => Promise<Result>): Promise<Result> {
    try {
      return await work(await this.#open())
    } catch (error) {
      throw this.#failure(what, error)
    }
  }

  #failure(what: string, error: unknown): Error {
    const reason = errorText(error).slice(0, 200)
    return new Error(`Cannot ask the IPFS node at ${this.#api.url.host} ${what}: ${reason}; is its RPC API there?`)
  }

  /** Loaded when first used: it costs 30 MB of memory. */
  async #open(): Promise<Client> {
    const { authorization, url } = this.#api
    const headers = authorization === null ? {} : { authorization }
    this.#client ??= import("kubo-rpc-client").then(({ create }) => create({ url: new URL("/api/v0", url), headers }))
    return await this.#client
  }
}

type Client = ReturnType<typeof import("kubo-rpc-client")["create"]>

const isNotPinned = (error: unknown): boolean =>
  error instanceof Error && /is not pinned|not pinned or pinned indirectly/.test(error.message)
