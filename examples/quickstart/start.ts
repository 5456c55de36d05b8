import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { startApp } from "../../src/app/app.ts"
import { type Config, loadConfig } from "../../src/config/load.ts"
import { createLogger, errorText } from "../../src/telemetry/log.ts"
import { VERSION } from "../../src/version.ts"
import { commands } from "./commands.ts"

/** Serves the sample image of this directory until Ctrl-C; nothing of the checkout is written to. */
const CONFIG = join(import.meta.dir, "config.json")

async function main(): Promise<void> {
  const { promise: interrupted, resolve } = Promise.withResolvers<void>()
  for (const name of ["SIGINT", "SIGTERM"] as const) process.on(name, () => resolve())
  const store = mkdtempSync(join(tmpdir(), "registry-facade-quickstart-"))
  try {
    const config = await loadConfig(CONFIG)
    const app = await startApp(quickstart(config, store), { log })
    console.log(await commands(`127.0.0.1:${app.registryPort}`, `127.0.0.1:${app.blobservePort}`))
    await interrupted
    await app.stop(true)
  } finally {
    rmSync(store, { recursive: true, force: true })
  }
}

/** The variable PORT takes other ports than the file's: its own for the registry, and the next one for the files. */
function quickstart(config: Config, store: string): Config {
  const { blobserve, registry } = config
  if (registry === null || blobserve === null) throw new Error(`${CONFIG}: there is no "registry" or no "blobserve"`)
  const text = process.env["PORT"] ?? ""
  if (!/^\d{0,5}$/.test(text)) throw new Error(`The variable PORT is ${JSON.stringify(text)}, expected a number`)
  const port = Number(text)
  const ports = text === "" ? [registry.port, blobserve.port] : [port, port === 0 ? 0 : port + 1]
  const [registryPort = 0, filesPort = 0] = ports
  return {
    ...config,
    registry: { ...registry, store, port: registryPort },
    blobserve: { ...blobserve, port: filesPort },
  }
}

const log = createLogger({
  format: "text",
  version: VERSION,
  level: () => "warn",
  write: (line) => void process.stderr.write(line),
})

const isTaken = (error: unknown): boolean =>
  error instanceof Error && error.cause instanceof Error && "code" in error.cause && error.cause.code === "EADDRINUSE"

try {
  await main()
  process.exit(0)
} catch (error) {
  console.error(`The quickstart cannot start. ${errorText(error)}`)
  if (isTaken(error)) {
    console.error("Is another one running? Stop it, or choose another port: PORT=31751 npx --yes bun start")
  }
  process.exit(1)
}
