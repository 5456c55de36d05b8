import { describe, expect, test } from "bun:test"
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { dirname, join, normalize, relative } from "node:path"

/** Which folder of `src` may import which; `folder/file` allows that file alone. Files at the root are `app`, `main`... */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  lib: [],
  oci: ["lib"],
  telemetry: ["lib"],
  config: ["lib", "oci"],
  auth: ["lib", "oci", "telemetry"],
  egress: ["lib", "oci", "telemetry"],
  blob: ["lib", "oci", "telemetry"],
  store: ["lib", "oci", "telemetry", "blob"],
  ipfs: ["lib", "oci", "telemetry", "blob/blob", "egress"],
  redis: ["lib", "oci", "telemetry", "store/store", "ipfs/cid", "ipfs/cid-index", "ipfs/leases"],
  credentials: ["lib", "oci", "telemetry", "upstream/keychain"],
  upstream: ["lib", "oci", "telemetry", "blob", "egress"],
  layer: ["lib", "oci", "telemetry", "blob", "egress", "upstream/upstream", "upstream/variants"],
  archive: ["lib", "oci"],
  spec: ["lib", "oci", "telemetry", "egress", "layer/layer"],
  compose: ["oci", "layer/layer"],
  facade: [
    "lib",
    "oci",
    "telemetry",
    "blob",
    "compose",
    "store/store",
    "upstream/policy",
    "upstream/upstream",
    "upstream/variants",
    "layer/layer",
    "spec/spec",
  ],
  blobserve: [
    "lib",
    "oci",
    "telemetry",
    "archive",
    "blob",
    "store/store",
    "upstream/upstream",
    "upstream/variants",
    "facade/facade",
  ],
  http: ["lib", "oci", "telemetry", "auth/auth", "blob/blob", "archive/layer-path", "blobserve", "facade/facade"],
  setup: ["lib"],
  export: ["lib", "oci"],
  cli: [
    "lib",
    "oci",
    "telemetry",
    "config",
    "blob/blob",
    "spec",
    "facade/composer",
    "facade/explain",
    "facade/images",
    "setup",
    "export",
    "app",
    "tuning",
    "version",
  ],
  app: ["*"],
  main: ["*"],
  tuning: [
    "lib",
    "auth/htpasswd-authenticator",
    "blob",
    "ipfs",
    "redis/redis",
    "egress/proxy",
    "egress/lookup",
    "spec/remote",
  ],
  version: [],
}

/** Packages stay at the edge: where each may be imported. `node:fs` is for those who keep files. */
const VENDORS: Readonly<Record<string, readonly string[]>> = {
  elysia: ["http"],
  "@elysiajs/swagger": ["http"],
  "swagger-ui-dist": ["http"],
  "prom-client": ["telemetry"],
  "@opentelemetry": ["telemetry/otlp-tracer"],
  "node:async_hooks": ["telemetry/otlp-tracer"],
  "jsonc-parser": ["oci", "lib"],
  "@sinclair/typebox": ["config", "spec", "lib"],
  "@bufbuild/protobuf": ["spec/encoded", "ipfs/unixfs"],
  "@grpc/grpc-js": ["spec/grpc"],
  "lru-cache": [
    "auth",
    "credentials",
    "ipfs",
    "blob",
    "blobserve",
    "egress",
    "upstream",
    "layer",
    "facade",
    "spec",
    "http/blobserve/hot-answers",
    "store/disk-images",
  ],
  "ipaddr.js": ["auth", "egress"],
  tldts: ["upstream"],
  ioredis: ["redis/redis", "redis/flood-guard"],
  "kubo-rpc-client": ["ipfs/kubo-control"],
  "multiformats/cid": ["ipfs"],
  "multiformats/hashes/digest": ["ipfs"],
  "bun:ffi": ["lib"],
  "node:dns/promises": ["egress/lookup"],
  "node:inspector/promises": ["http/debug"],
  "node:crypto": ["lib/pem"],
  "node:fs": [
    "lib",
    "telemetry/process-metrics",
    "store",
    "blobserve/stored-file",
    "layer",
    "config",
    "setup",
    "export",
    "upstream/layout-upstream",
    "http/respond",
    "app",
    "main",
  ],
  "node:fs/promises": [
    "lib",
    "store",
    "blobserve/kept-layers",
    "blobserve/stored-file",
    "layer",
    "config",
    "export",
    "upstream/layout-upstream",
    "app",
  ],
  "node:net": ["spec/grpc"],
  "node:os": ["app"],
  "node:path": ["*"],
  "node:tls": ["http/tls/credentials", "spec/grpc"],
  "node:util": ["cli"],
  "node:zlib": ["archive/inflate-part", "archive/zlib-decoder"],
}

interface Edge {
  readonly pattern: RegExp
  /** All of those that use it; a file is added here with a reason. */
  readonly files: readonly string[]
}

/** Whole modules, or those of their names that connect, listen, or start something. */
const NODE_CONNECTIONS =
  /\bimport\s+(?:\*|\w+\s+from|\{[^}]*\b(?:connect|create(?:Connection|Server|SecureServer|Socket)|request|get|Agent|Server|Socket|TLSSocket|Worker|exec\w*|fork|spawn\w*)\b[^}]*\})[^;\n]*["']node:(?:http|https|http2|net|tls|dgram|child_process|cluster|worker_threads)["']/

/**
 * Everything that could reach another machine, or another program, without passing the one way out (egress/) and its
 * guard. Packages that have connections of their own are in the table above.
 */
const EDGES: Readonly<Record<string, Edge>> = {
  // Every request to registries, token servers and URLs; and spans to the collector that an operator names
  "fetch()": { pattern: /(?<![.\w#])fetch\(/, files: ["egress/fetch-egress.ts", "egress/post.ts"] },
  // Finds out which of the addresses that the guard has allowed answers
  "Bun.connect()": { pattern: /\bBun\.connect\b/, files: ["egress/tcp-probe.ts"] },
  // Credential helpers, which the operator names
  "Bun.spawn()": { pattern: /\bBun\.(?:spawn|spawnSync|\$)/, files: ["credentials/credential-helper.ts"] },
  // Our own port, and whether somebody else has it
  "Bun.serve() and Bun.listen()": {
    pattern: /\bBun\.(?:serve|listen)\b/,
    files: ["http/port-check.ts", "http/server.ts"],
  },
  // What they have besides that, such as isIP and createSecureContext, may be used
  "node's clients and servers": { pattern: NODE_CONNECTIONS, files: [] },
  "names, but for the guard": { pattern: /["']node:dns(?:\/promises)?["']|\bBun\.dns\b/, files: ["egress/lookup.ts"] },
  "clients that come with the platform": {
    pattern:
      /\bnew (?:WebSocket|EventSource|XMLHttpRequest)\b|\bBun\.(?:udpSocket|S3Client|s3|redis|RedisClient|sql|SQL)\b|from "bun"/,
    files: [],
  },
}

const withoutComments = (text: string): string => text.replace(/^\s*(?:\/\/|\/?\*).*$/gm, "")

const SRC = join(import.meta.dir, "../src")

interface Import {
  readonly file: string
  readonly target: string
}

const files = readdirSync(SRC, { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith(".ts"))
const imports: readonly Import[] = files.flatMap((file) => {
  const text = readFileSync(join(SRC, file), "utf8")
  const found = text.matchAll(/^(?:import|export)\s[^"']*?from "([^"]+)"|^import "([^"]+)"|\bimport\("([^"]+)"\)/gm)
  return [...found].map((match) => ({ file, target: match[1] ?? match[2] ?? match[3] ?? "" }))
})

const moduleOf = (file: string): string => file.replace(/\.(?:d\.)?ts$/, "")
const folderOf = (module: string): string => module.split("/")[0] ?? ""

function isAllowed(list: readonly string[] | undefined, module: string): boolean {
  return list?.some((entry) => entry === "*" || entry === module || entry === folderOf(module)) === true
}

describe("architecture", () => {
  test("every folder has a row in the import table", () => {
    expect([...new Set(files.map(moduleOf).map(folderOf))].filter((folder) => !(folder in MAY_IMPORT))).toEqual([])
  })

  test("ARCHITECTURE.md tells of every folder, and of no file that is not there", () => {
    const page = readFileSync(join(SRC, "../ARCHITECTURE.md"), "utf8")
    const names = files.filter((file) => file.includes("/")).map(folderOf)

    const named = [...page.matchAll(/`([a-z][\w./-]*\.ts)`/g)].map(([, name = ""]) => name)
    const isThere = (name: string) =>
      [SRC, join(SRC, ".."), join(SRC, "store")].some((dir) => existsSync(join(dir, name)))

    expect([...new Set(names)].filter((folder) => !new RegExp(`(?<![\\w/])${folder}/ +\\w`).test(page))).toEqual([])
    expect(named.filter((name) => !isThere(name))).toEqual([])
  })

  test("folders import only what the table allows", () => {
    const local = imports.filter(({ target }) => target.startsWith(".") && target.endsWith(".ts"))
    const wrong = local.filter(({ file, target }) => {
      const from = folderOf(moduleOf(file))
      const to = moduleOf(normalize(join(dirname(file), target)))
      return folderOf(to) !== from && !isAllowed(MAY_IMPORT[from], to)
    })
    expect(wrong).toEqual([])
  })

  test("packages are imported only at their edge", () => {
    const foreign = imports.filter(({ target }) => !target.startsWith("."))
    const wrong = foreign.filter(({ file, target }) => {
      const vendor = Object.keys(VENDORS).find(
        (name) => target === name || (target.startsWith(`${name}/`) && !(target in VENDORS)),
      )
      return vendor === undefined || !isAllowed(VENDORS[vendor], moduleOf(file))
    })
    expect(wrong).toEqual([])
  })

  test("what is seldom configured is loaded only then", () => {
    const packages = new Set<string>()
    const seen = new Set<string>()
    const load = (file: string): void => {
      if (seen.has(file)) return
      seen.add(file)
      const text = readFileSync(join(SRC, file), "utf8")
      for (const [, from, alone] of text.matchAll(
        /^(?:import|export)\s(?!type\b)[^"']*?from "([^"]+)"|^import "([^"]+)"/gm,
      )) {
        const target = from ?? alone ?? ""
        if (!target.startsWith(".")) packages.add(target)
        else if (target.endsWith(".ts")) load(normalize(join(dirname(file), target)))
      }
    }
    load("main.ts")
    const late = /^(?:ioredis|kubo-rpc-client|multiformats|@opentelemetry)(?:\/|$)/

    expect(packages).toContain("elysia")
    expect([...packages].filter((name) => late.test(name))).toEqual([])
  })

  test("nothing is imported in a circle", () => {
    const graph = new Map<string, string[]>()
    for (const { file, target } of imports.filter(({ target }) => target.startsWith("."))) {
      const from = moduleOf(file)
      graph.set(from, [...(graph.get(from) ?? []), moduleOf(normalize(join(dirname(file), target)))])
    }
    const done = new Set<string>()
    const circles: string[] = []
    const visit = (module: string, path: readonly string[]): void => {
      if (path.includes(module)) circles.push([...path.slice(path.indexOf(module)), module].join(" -> "))
      if (done.has(module) || path.includes(module)) return
      for (const next of graph.get(module) ?? []) visit(next, [...path, module])
      done.add(module)
    }
    for (const module of graph.keys()) visit(module, [])
    expect(circles).toEqual([])
  })

  test("files stay short, and none is a drawer for everything", () => {
    const long = files.filter((file) => readFileSync(join(SRC, file), "utf8").split("\n").length > 301)
    const drawers = files.filter((file) => /(?:^|\/)(?:utils|types|index|common|helpers)\.ts$/.test(file))
    expect({ long, drawers }).toEqual({ long: [], drawers: [] })
  })

  test.each(Object.entries(EDGES))("%s stays at its edge", (name, { pattern, files: allowed }) => {
    const users = files.filter((file) => pattern.test(withoutComments(readFileSync(join(SRC, file), "utf8"))))
    expect([name, users]).toEqual([name, [...allowed]])
  })

  test("no promise is left behind as a marker", () => {
    const marker = new RegExp(["TO", "DO|FIX", "ME|XX", "X"].join(""))
    expect(files.filter((file) => marker.test(readFileSync(join(SRC, file), "utf8")))).toEqual([])
  })

  test("paths in this table exist", () => {
    const named = Object.values(MAY_IMPORT)
      .flat()
      .filter((entry) => entry.includes("/"))
    expect(named.filter((entry) => !files.includes(`${entry}.ts`))).toEqual([])
    expect(relative(SRC, join(SRC, "app.ts"))).toBe("app.ts")
  })
})
