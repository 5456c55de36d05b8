import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { freePort } from "./free-port.ts"
import { eventually, findProgram } from "./programs.ts"
import { tempDir } from "./temp-dir.ts"

export interface RedisServer {
  readonly port: number
  readonly addr: string
  readonly pid: number
  /** Runs one command and gives what redis-cli prints. */
  cli(...command: readonly string[]): Promise<string>
  /** Like a machine that hangs: connections stay, nothing is answered. */
  freeze(): void
  thaw(): void
  stop(): Promise<void>
}

/** Paths. */
export interface RedisTls {
  readonly cert: string
  readonly key: string
  readonly ca: string
}

export interface RedisServerOptions {
  readonly port?: number
  /** What redis-cli needs to be let in. */
  readonly login?: readonly string[]
  /** Then it speaks nothing else. */
  readonly tls?: RedisTls
}

/** A real Redis of its own, without persistence. */
export async function startRedis(
  args: readonly string[] = [],
  { port = freePort(), login = [], tls }: RedisServerOptions = {},
): Promise<RedisServer> {
  const program = findProgram("redis-server") ?? "redis-server"
  const listening =
    tls === undefined
      ? ["--port", `${port}`]
      : ["--port", "0", "--tls-port", `${port}`, "--tls-cert-file", tls.cert, "--tls-key-file", tls.key]
  const open = tls === undefined ? [] : ["--tls-auth-clients", "no"]
  const child = Bun.spawn(
    // With what is given first, as a Sentinel has its configuration there
    [program, ...args, ...listening, ...open, "--bind", "127.0.0.1", "--save", "", "--dir", tempDir()],
    { stdio: ["ignore", "ignore", "ignore"] },
  )
  const secure = tls === undefined ? [] : ["--tls", "--cacert", tls.ca]
  const cli: RedisServer["cli"] = async (...command) => {
    const client = Bun.spawn(
      [findProgram("redis-cli") ?? "redis-cli", "-p", `${port}`, ...secure, ...login, ...command],
      {
        stdio: ["ignore", "pipe", "ignore"],
      },
    )
    return (await new Response(client.stdout).text()).replace(/\n$/, "")
  }
  await eventually(async () => ((await cli("PING")) === "PONG" ? true : null))
  const stop = async () => {
    child.kill("SIGKILL")
    await child.exited
  }
  const freeze = () => child.kill("SIGSTOP")
  const thaw = () => child.kill("SIGCONT")
  return { port, addr: `127.0.0.1:${port}`, pid: child.pid, cli, freeze, thaw, stop }
}

/** Redis Cluster: three masters that share the keys. */
export async function startRedisCluster(): Promise<readonly RedisServer[]> {
  const ports = Array.from({ length: 3 }, () => freePort()) // each also listens at its port + 10000
  const servers = await Promise.all(
    ports.map(async (port) => await startRedis(["--cluster-enabled", "yes", "--appendonly", "no"], { port })),
  )
  const [first] = servers
  await first?.cli("--cluster", "create", ...servers.map(({ addr }) => addr), "--cluster-yes")
  await eventually(async () => {
    const states = await Promise.all(servers.map(({ cli }) => cli("CLUSTER", "INFO")))
    return states.every((state) => state.includes("cluster_state:ok")) ? true : null
  })
  return servers
}

export interface RedisSentinel {
  readonly master: RedisServer
  readonly replica: RedisServer
  readonly sentinel: RedisServer
}

export interface SentinelOptions extends Pick<RedisServerOptions, "login" | "tls"> {
  /** Of the servers, not of the Sentinel. */
  readonly args?: readonly string[]
  readonly password?: string
}

/** A master with a replica, and a Sentinel that makes the replica the master within two seconds of its death. */
export async function startRedisSentinel(
  name: string,
  { args = [], password = "", ...options }: SentinelOptions = {},
): Promise<RedisSentinel> {
  const master = await startRedis(args, options)
  const replica = await startRedis([...args, "--replicaof", `127.0.0.1 ${master.port}`], options)
  const file = join(tempDir(), "sentinel.conf")
  const lines = [
    `sentinel monitor ${name} 127.0.0.1 ${master.port} 1`,
    `sentinel down-after-milliseconds ${name} 500`,
    `sentinel failover-timeout ${name} 3000`,
    ...(password === "" ? [] : [`sentinel auth-pass ${name} ${password}`]),
  ]
  writeFileSync(file, `${lines.join("\n")}\n`)
  const { tls } = options
  const secure = tls === undefined ? [] : ["--tls-replication", "yes", "--tls-ca-cert-file", tls.ca]
  const sentinel = await startRedis([file, "--sentinel", ...secure], tls === undefined ? {} : { tls })
  await eventually(async () => {
    const replicas = await sentinel.cli("SENTINEL", "REPLICAS", name)
    return replicas.includes(String(replica.port)) && (await replica.cli("INFO")).includes("master_link_status:up")
      ? true
      : null
  })
  return { master, replica, sentinel }
}
