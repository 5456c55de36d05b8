import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import type { TestImage, TestIndex } from "./images.ts"
import { writeLayout } from "./oci-layout.ts"
import { output, startServer } from "./programs.ts"
import { tempDir } from "./temp-dir.ts"

export interface DockerRegistry {
  /** host:port, as references write it. */
  readonly host: string
  /** Pushes with skopeo; "v2s2" makes Docker's format of it. Returns the reference. */
  push(repository: string, tag: string, image: TestImage | TestIndex, format?: "oci" | "v2s2"): Promise<string>
  stop(): Promise<void>
}

export interface DockerRegistryOptions {
  /** The section "auth" of its configuration. */
  readonly auth?: Readonly<Record<string, unknown>>
  /** user:password, for pushing. */
  readonly credentials?: string
}

/** The registry of Docker's distribution, as Debian packages it. */
export async function startDockerRegistry({ auth, credentials }: DockerRegistryOptions = {}): Promise<DockerRegistry> {
  const dir = tempDir()
  const file = join(dir, "config.yml")
  const config = {
    version: "0.1",
    log: { level: "info", formatter: "json" },
    storage: { filesystem: { rootdirectory: join(dir, "data") } },
    http: { addr: "127.0.0.1:0", secret: "of one process" },
    ...(auth === undefined ? {} : { auth }),
  }
  mkdirSync(join(dir, "data"))
  writeFileSync(file, JSON.stringify(config)) // JSON is YAML
  const ready = /listening on (127\.0\.0\.1:\d+)"/
  const { match, stop } = await startServer(["docker-registry", "serve", file], ready, {
    env: { OTEL_TRACES_EXPORTER: "none" },
  })
  const host = match[1] ?? ""
  const login = credentials === undefined ? [] : ["--dest-creds", credentials]
  const push: DockerRegistry["push"] = async (repository, tag, image, format = "oci") => {
    const layout = tempDir()
    writeLayout(layout, tag, image)
    const how = format === "oci" ? ["--all", "--preserve-digests"] : ["--all", "--format", format]
    const reference = `${host}/${repository}:${tag}`
    const copy = ["skopeo", "--insecure-policy", "copy", ...how, "--dest-tls-verify=false", ...login]
    await output([...copy, `oci:${layout}:${tag}`, `docker://${reference}`])
    return reference
  }
  return { host, push, stop }
}
