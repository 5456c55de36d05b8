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

/** A real Redis of its own, without persistence. */
export async function startRedis(args: readonly string[] = [], port = freePort()): Promise<RedisServer> {
  const program = findProgram("redis-server") ?? "redis-server"
  const child = Bun.spawn(
    [program, "--port", String(port), "--bind", "127.0.0.1", "--save", "", "--dir", tempDir(), ...args],
    { stdio: ["ignore", "ignore", "ignore"] },
  )
  const cli: RedisServer["cli"] = async (...command) => {
    const client = Bun.spawn([findProgram("redis-cli") ?? "redis-cli", "-p", String(port), ...command], {
      stdio: ["ignore", "pipe", "ignore"],
    })
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
