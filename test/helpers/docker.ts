import { afterAll, beforeAll, describe } from "bun:test"
import { join } from "node:path"
import { needs, type Outcome, run, startServer } from "./programs.ts"
import { tempDir } from "./temp-dir.ts"

interface Docker {
  /** For a command that somebody else calls. What it keeps of a login is its own. */
  readonly env: Readonly<Record<string, string>>
  stop(): Promise<void>
}

/** A Docker daemon of its own, without networks for containers: these would change the machine's rules for packets. */
async function startDocker(): Promise<Docker> {
  const dir = tempDir()
  const socket = `unix://${join(dir, "docker.sock")}`
  const places = ["--data-root", join(dir, "data"), "--exec-root", join(dir, "exec"), "--pidfile", join(dir, "pid")]
  const { stop } = await startServer(
    ["dockerd", ...places, "--host", socket, "--storage-driver=vfs", "--bridge=none", "--iptables=false"],
    /API listen on/,
  )
  return { env: { DOCKER_HOST: socket, DOCKER_CONFIG: join(dir, "config") }, stop }
}

/** Runs a command that finds the daemon. */
type RunWithDocker = (...command: readonly string[]) => Promise<Outcome>

/** Groups tests that need a Docker daemon, which all of them use. */
export function describeDocker(name: string, tests: (run: RunWithDocker) => void): void {
  const required = needs("dockerd", "docker", "runc", "root")
  describe.skipIf(required.isMissing)(`${name}${required.note}`, () => {
    let docker: Docker
    beforeAll(async () => {
      docker = await startDocker()
    })
    afterAll(async () => await docker?.stop())
    tests(async (...command) => await run(command, { env: docker.env }))
  })
}
