import type { Cluster, Redis } from "ioredis"
import { Breaker } from "../lib/breaker.ts"
import type { Clock } from "../lib/clock.ts"
import { errorText, type Logger } from "../telemetry/log.ts"
import type { Metrics } from "../telemetry/metrics.ts"
import { FloodGuard } from "./flood-guard.ts"

export interface RedisServer {
  readonly host: string
  readonly port: number
}

export interface RedisSettings {
  readonly single: RedisServer | null
  readonly sentinel: { readonly master: string; readonly servers: readonly RedisServer[] } | null
  readonly cluster: readonly RedisServer[] | null
  readonly username: string | null
  readonly password: string | null
  readonly tls: { readonly ca: string | null; readonly insecureSkipVerify: boolean } | null
  readonly keyPrefix: string
}

export interface RedisPolicy {
  readonly connectMs: number
  readonly commandMs: number
  /** Failures in a row after which Redis is left alone, for how long at first, and at most. */
  readonly failures: number
  readonly openMs: number
  readonly maxOpenMs: number
}

export interface RedisOptions {
  readonly settings: RedisSettings
  readonly policy: RedisPolicy
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: Metrics
}

/** First words of refusals. What a server makes up counts as one more, so that it cannot fill the log. */
const REFUSALS: ReadonlySet<string> = new Set([
  "CLUSTERDOWN",
  "ERR",
  "LOADING",
  "MASTERDOWN",
  "MISCONF",
  "MOVED",
  "NOAUTH",
  "NOPERM",
  "OOM",
  "READONLY",
  "WRONGPASS",
  "WRONGTYPE",
])

export type RedisClient = Redis | Cluster

/** What all nodes share. A hint in everything: it may be down, slow, empty or wrong, and nothing waits for it long. */
export class SharedRedis {
  readonly prefix: string
  readonly isCluster: boolean
  readonly #client: RedisClient
  readonly #breaker: Breaker
  readonly #options: RedisOptions
  readonly #flood: FloodGuard
  readonly #begun: Promise<void>
  /** Why there is no connection. */
  #connectionError: unknown = null

  private constructor(client: RedisClient, options: RedisOptions) {
    const { clock, log, metrics, policy, settings } = options
    this.prefix = settings.keyPrefix
    this.isCluster = settings.cluster !== null
    this.#client = client
    this.#flood = new FloodGuard(client)
    this.#options = options
    const onChange = (error: unknown) => {
      metrics.breakerOpen.set({ dependency: "redis" }, error === null ? 0 : 1)
      if (error === null) log.info("Redis answers again")
      else {
        const reason = this.#connectionError ?? error
        log.warn("Redis does not answer, it is left alone for a while; images are served without it", { error: reason })
      }
    }
    metrics.breakerOpen.set({ dependency: "redis" }, 0)
    this.#breaker = new Breaker({ ...policy, clock, onChange })
    // The first question may come sooner than the connection is up; it waits that little while
    this.#begun = Promise.race([
      new Promise<void>((resolve) => void client.once("ready", () => resolve())),
      clock.sleep(policy.connectMs),
    ])
    // ioredis connects and reconnects by itself, and tells about each failure here
    client.on("error", (error: unknown) => {
      this.#connectionError = error
      if (error instanceof Error && error.name === "ReplyError") this.#refused(error)
      else log.debug("Redis connection failed", { error })
    })
    client.on("ready", () => {
      this.#connectionError = null
    })
  }

  /** Begins to connect, and does not wait for it. */
  static async open(options: RedisOptions): Promise<SharedRedis> {
    return new SharedRedis(await connect(options), options)
  }

  /** Null: Redis did not answer. Never rejects. */
  async ask<Result>(command: (client: RedisClient) => Promise<Result>): Promise<Result | null> {
    await this.#begun
    try {
      const answer = await this.#breaker.run(() => answered(command(this.#client)))
      this.#flood.answered()
      if (answer !== null && "refused" in answer) return this.#refused(answer.refused)
      return answer === null ? null : answer.result
    } catch (error) {
      this.#options.metrics.redisErrors.inc()
      this.#options.log.debug("Redis failed", { error: errorText(error) })
      return null
    }
  }

  /** Somebody has to look at it: no permission, a wrong password, no memory left. */
  #refused({ message }: Error): null {
    const { log, metrics } = this.#options
    metrics.redisErrors.inc()
    const word = /^[A-Z]+/.exec(message)?.[0] ?? ""
    const cause = REFUSALS.has(word) ? word : "another"
    log.warn("Redis refuses commands; images are served without it", { error: message }, cause)
    return null
  }

  close(): void {
    this.#client.disconnect()
  }
}

/** A refusal (read-only, out of memory, no permission) is an answer, too: it takes no time, and other commands may work. */
async function answered<Result>(
  answer: Promise<Result>,
): Promise<{ readonly result: Result } | { readonly refused: Error }> {
  try {
    return { result: await answer }
  } catch (error) {
    if (error instanceof Error && error.name === "ReplyError") return { refused: error }
    throw error
  }
}

/** Without these, ioredis waits for ever for a server that hangs, and queues commands while there is none. */
async function connect({ settings, policy }: RedisOptions): Promise<RedisClient> {
  const { Cluster, Redis } = await import("ioredis")
  const { cluster, password, sentinel, single, tls, username } = settings
  const common = {
    commandTimeout: policy.commandMs,
    connectTimeout: policy.connectMs,
    maxRetriesPerRequest: 0,
    enableOfflineQueue: false,
    enableReadyCheck: false, // it needs a permission that we don't; who loads its data says so to each command
    retryStrategy: (times: number) => Math.min(50 * 2 ** Math.min(times, 10), policy.maxOpenMs),
    ...(username === null ? {} : { username }),
    ...(password === null ? {} : { password }),
    ...(tls === null
      ? {}
      : { tls: { rejectUnauthorized: !tls.insecureSkipVerify, ...(tls.ca === null ? {} : { ca: tls.ca }) } }),
  }
  if (cluster !== null) {
    return new Cluster([...cluster], {
      redisOptions: common,
      enableOfflineQueue: false,
      clusterRetryStrategy: common.retryStrategy,
      slotsRefreshTimeout: policy.connectMs,
      maxRedirections: 3,
    })
  }
  if (sentinel !== null) {
    return new Redis({
      ...common,
      sentinels: [...sentinel.servers],
      name: sentinel.master,
      sentinelRetryStrategy: common.retryStrategy,
      sentinelCommandTimeout: policy.connectMs,
      ...(common.tls === undefined ? {} : { sentinelTLS: common.tls, enableTLSForSentinelMode: true }),
      ...(password === null ? {} : { sentinelPassword: password }),
    })
  }
  if (single === null) throw new Error('Cannot use Redis: none of "singleHostAddr", "sentinel" and "cluster" is given')
  return new Redis({ ...common, host: single.host, port: single.port })
}
