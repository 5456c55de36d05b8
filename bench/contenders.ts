import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { freePort } from "../test/helpers/free-port.ts"
import { type Content, OCI_MANIFEST } from "../test/helpers/images.ts"
import { blobFile, type FileContent, type Material } from "./material.ts"
import { type ServerProcess, startServer } from "./server-process.ts"

/** The compiled program. */
export const BINARY = join(import.meta.dir, "../dist/registry-facade")

export type ContenderName = "facade" | "nginx" | "docker-registry"

/** A server that serves the material, and where it has it. */
export interface Contender {
  readonly name: ContenderName
  readonly process: ServerProcess
  blobPath(digest: string): string
  readonly manifestPath: string
  /** Null: it does not serve what is inside images. */
  readonly files: FileServer | null
}

export interface FileServer {
  readonly process: ServerProcess
  path(name: string): string
}

/** As Debian packages it, with one worker: sendfile, and an access log. */
export async function startNginx(work: string, { dir }: Material): Promise<Contender> {
  const port = freePort()
  const home = join(work, "nginx")
  mkdirSync(home)
  const user = process.getuid?.() === 0 ? "user root;" : ""
  const temp = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map((kind) => `${kind}_temp_path ${home}/${kind};`)
  writeFileSync(
    join(home, "nginx.conf"),
    `${user} daemon off; worker_processes 1; pid ${home}/pid; error_log stderr;
     events { worker_connections 1024; }
     http {
       ${temp.join(" ")}
       sendfile on; tcp_nopush on; default_type application/octet-stream;
       keepalive_requests 1000000000; access_log ${home}/access.log;
       server { listen 127.0.0.1:${port}; root ${dir}; location = /ready { return 200 "ready"; } }
     }`,
  )
  const command = ["nginx", "-p", home, "-c", join(home, "nginx.conf")]
  const server = await startServer({ command, port, ready: "/ready", log: join(home, "log") })
  return {
    name: "nginx",
    process: server,
    blobPath: (digest) => `/blobs/${digest.replace(/^sha256:/, "")}`,
    manifestPath: "/manifests/composed",
    files: { process: server, path: (name) => `/files/${name}` },
  }
}

/** As Debian configures it, descriptors cached in memory. */
export async function startDockerRegistry(work: string, { app, big, dir, small }: Material): Promise<Contender> {
  const port = freePort()
  const home = join(work, "docker-registry")
  mkdirSync(join(home, "data"), { recursive: true })
  const config = {
    version: "0.1",
    log: { fields: { service: "registry" } },
    storage: { cache: { blobdescriptor: "inmemory" }, filesystem: { rootdirectory: join(home, "data") } },
    http: { addr: `127.0.0.1:${port}`, secret: "of one process" },
  }
  writeFileSync(join(home, "config.yml"), JSON.stringify(config)) // JSON is YAML
  const command = ["docker-registry", "serve", join(home, "config.yml")]
  const env = { OTEL_TRACES_EXPORTER: "none" }
  const server = await startServer({ command, port, ready: "/v2/", log: join(home, "log"), env })
  for (const blob of [...small, ...app.blobs, big]) await pushBlob(server.url, dir, blob)
  await pushManifest(server.url, app.manifest)
  return {
    name: "docker-registry",
    process: server,
    blobPath: (digest) => `/v2/bench/blobs/${digest}`,
    manifestPath: "/v2/bench/manifests/latest",
    files: null,
  }
}

/** distribution-spec: "POST then PUT". */
async function pushBlob(url: string, dir: string, { digest }: FileContent): Promise<void> {
  const begun = await fetch(`${url}/v2/bench/blobs/uploads/`, { method: "POST" })
  const location = new URL(begun.headers.get("location") ?? "", url)
  location.searchParams.set("digest", digest)
  await expectCreated(await fetch(location, { method: "PUT", body: Bun.file(blobFile(dir, digest)) }), digest)
}

async function pushManifest(url: string, { bytes, digest }: Content): Promise<void> {
  const headers = { "content-type": OCI_MANIFEST }
  const answer = await fetch(`${url}/v2/bench/manifests/latest`, { method: "PUT", body: bytes, headers })
  await expectCreated(answer, digest)
}

async function expectCreated(answer: Response, digest: string): Promise<void> {
  if (answer.status === 201) return
  throw new Error(`Cannot push ${digest} to docker-registry: ${answer.status} ${await answer.text()}`)
}

/** Writes the configuration of a facade whose two upstreams have the same images. */
export function prepareFacade(
  home: string,
  { far, near }: { readonly far: string; readonly near: string },
  port: number,
): { readonly store: string; readonly config: string } {
  mkdirSync(home)
  const layers = [{ files: { "/etc/motd": "composed\n" } }]
  const specs = {
    app: { baseRef: `${far}/bench:app`, layers, config: { cmd: ["sh"] } },
    far: { baseRef: `${far}/bench:shelf` },
    near: { baseRef: `${near}/bench:shelf` },
  }
  const registry = { host: "127.0.0.1", port, store: "store", fixedSpecFN: "specs.json", storeMinFreeBytes: 0 }
  const config = join(home, "config.json")
  writeFileSync(join(home, "specs.json"), JSON.stringify(specs))
  writeFileSync(config, JSON.stringify({ registry }))
  return { store: join(home, "store"), config }
}

/** The compiled program, with its log at the usual level. */
export async function startFacade(config: string, port: number): Promise<Contender> {
  const command = [BINARY, "run", config]
  return {
    name: "facade",
    process: await startServer({ command, port, ready: "/v2/", log: `${config}.log` }),
    blobPath: (digest) => `/v2/fixed/far/blobs/${digest}`,
    manifestPath: "/v2/fixed/app/manifests/latest",
    files: null,
  }
}

/** A facade that serves the files inside an image of an upstream, and nothing else. */
export async function startFiles(home: string, upstream: string): Promise<FileServer> {
  const port = freePort()
  const repository = `${upstream}/bench`
  mkdirSync(home)
  const config = join(home, "config.json")
  const blobserve = {
    host: "127.0.0.1",
    port,
    repos: { [repository]: { layers: "all" } },
    blobSpace: { location: "space" },
  }
  writeFileSync(config, JSON.stringify({ blobserve }))
  const path = (name: string) => `/${repository}:site/${name}`
  const command = [BINARY, "run", config]
  return { process: await startServer({ command, port, ready: path("small0.js"), log: `${config}.log` }), path }
}
