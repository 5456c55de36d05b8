import { describe, expect, test } from "bun:test"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import Ajv from "ajv/dist/2020"
import { loadConfig } from "../../src/config/load.ts"
import { configSchema } from "../../src/config/schema.ts"
import { findProblems } from "../../src/lib/validate.ts"
import { tempDir } from "../helpers/temp-dir.ts"

/** As `config schema` prints it: without what only the library sees. */
const printed = JSON.parse(JSON.stringify({ $schema: "https://json-schema.org/draft/2020-12/schema", ...configSchema }))
const ajv = new Ajv({ strict: true, strictTypes: false, allErrors: true, keywords: ["expected"] })
const isValid = ajv.compile(printed)

/** Every key that there is. */
const EVERYTHING = {
  $schema: "https://example.com/registry-facade.schema.json",
  dockerAuth: "auth.json",
  pprofAddr: "127.0.0.1:6060",
  prometheusAddr: "127.0.0.1:9500",
  readinessProbeAddr: ":8086",
  tracing: { otlpEndpoint: "http://127.0.0.1:4318" },
  shutdown: { delay: "5s", grace: "300s" },
  registry: {
    port: 31_750,
    host: "0.0.0.0",
    prefix: "",
    store: "store",
    storeMaxSizeBytes: 0,
    storeMinFreeBytes: 1_073_741_824,
    staticLayer: [
      { type: "file", ref: "layer.tar" },
      { type: "image", ref: "ghcr.io/acme/agent:1" },
      { type: "dir", ref: "dir" },
    ],
    remoteSpecProvider: [
      {
        addr: "dns:///ws-manager:8080",
        tls: { ca: "ca.crt", crt: "tls.crt", key: "tls.key" },
        serverName: "ws-manager",
      },
      { url: "https://host/specs/{id}" },
    ],
    fixedSpecFN: "specs.json",
    requireAuth: false,
    auth: { htpasswd: "htpasswd" },
    tls: { ca: "ca.crt", crt: "tls.crt", key: "tls.key", clientCA: "clients.crt" },
    tagTTL: "60s",
    staleIfError: "24h",
    handover: { enabled: false, sockets: "" },
    defaultPlatform: "linux/amd64",
    upstreams: {
      "ghcr.io": {
        plainHTTP: false,
        insecureSkipVerify: false,
        ca: "ca.crt",
        mirrors: ["https://mirror"],
        username: "",
        passwordFile: "",
      },
    },
    allowedUpstreams: ["docker.io/**", "ghcr.io/acme/*"],
    redis: {
      enabled: true,
      singleHostAddr: "redis:6379",
      username: "",
      useTLS: false,
      insecureSkipVerify: false,
      ca: "ca.crt",
      keyPrefix: "",
      sentinel: { master: "", addrs: [] },
      cluster: { addrs: [] },
    },
    ipfs: {
      enabled: true,
      ipfsAddr: "/ip4/127.0.0.1/tcp/5001",
      gatewayAddr: "http://127.0.0.1:8080",
      profile: "unixfs-v1-2025",
      budgetBytes: 0,
      allowPublicSwarm: false,
      cluster: { url: "http://host:9094", replicationMin: 2, replicationMax: 3, expireIn: "" },
    },
  },
  blobserve: {
    port: 32_224,
    timeout: "5s",
    repos: {
      "ghcr.io/acme/ide": {
        prePull: ["latest"],
        workdir: "/",
        layers: "first",
        replacements: [{ path: "/index.html", search: "a", replacement: "b" }],
        inlineStatic: [{ search: "a", replacement: "b" }],
      },
    },
    allowAnyRepo: false,
    blobSpace: { location: "blobs", maxSizeBytes: 0 },
  },
}

describe("the configuration's JSON Schema", () => {
  test("is a JSON Schema of draft 2020-12", () => {
    expect(ajv.validateSchema(printed)).toBe(true)
  })

  test("accepts every key that there is, and so does the program", () => {
    expect([isValid(EVERYTHING), isValid.errors]).toEqual([true, null])
    expect(findProblems(configSchema, EVERYTHING)).toEqual([])
  })

  test.each([
    [{ registry: { prot: 1 } }],
    [{ registry: { port: "1" } }],
    [{ registry: { port: 65_536 } }],
    [{ registry: { tagTTL: "1d" } }],
    [{ registry: { staticLayer: [{ type: "url", ref: "x" }] } }],
    [{ registry: { upstreams: { x: { y: 1 } } } }],
    [{ prometheusAddr: "9500" }],
    [{ blobserve: { timeout: -1 } }],
    [[]],
    [null],
  ])("refuses %j, as the program does", (value) => {
    expect(isValid(value)).toBe(false)
    expect(findProblems(configSchema, value)).not.toEqual([])
  })

  test.each([
    [{ registry: { remoteSpecProvider: { addr: "x:1" } } }],
    [{ blobserve: { timeout: 5_000_000_000 } }],
    [{ pprofAddr: "[::1]:6060", prometheusAddr: "", readinessProbeAddr: "localhost:8086" }],
    [{ registry: { tagTTL: "1.5h" }, shutdown: { delay: "0" } }],
  ])("accepts %j, too", (value) => {
    expect([isValid(value), findProblems(configSchema, value)]).toEqual([true, []])
  })

  test("describes every key where editors show it", () => {
    const missing: string[] = []
    const visit = (schema: Record<string, unknown>, path: string) => {
      for (const [key, field] of Object.entries((schema["properties"] ?? {}) as Record<string, object>))
        if (!("description" in field)) missing.push(`${path}.${key}`)
      for (const [key, inner] of Object.entries(schema))
        if (typeof inner === "object" && inner !== null && key !== "default")
          visit(inner as Record<string, unknown>, key === "properties" ? path : `${path}.${key}`)
    }
    visit(printed, "")

    expect(missing).toEqual([])
  })
})

describe("the original's configuration", () => {
  test("of an installation runs unchanged in everything that is available", async () => {
    const file = join(tempDir(), "config.json")
    const original = {
      registry: {
        port: 31_750,
        prefix: "",
        staticLayer: [{ type: "image", ref: "eu.gcr.io/gitpod/supervisor:1" }],
        requireAuth: false,
        store: "/mnt/cache/registry",
        redis: { enabled: false, singleHostAddr: "" },
        ipfs: { enabled: false, ipfsAddr: "" },
      },
      dockerAuth: "",
      pprofAddr: "",
      prometheusAddr: "127.0.0.1:9500",
      readinessProbeAddr: ":8086",
    }
    writeFileSync(file, JSON.stringify(original))

    expect(await loadConfig(file)).toMatchObject({ registry: { port: 31_750, store: "/mnt/cache/registry" } })
  })

  test("C-13: as the Helm chart of 2021 wrote it: one provider, and a way to hand the port over", async () => {
    const file = join(tempDir(), "config.json")
    const original = {
      dockerAuth: "/mnt/pull-secret.json",
      registry: {
        port: 3000,
        tls: { crt: "/mnt/certificates/fullchain.pem", key: "/mnt/certificates/privkey.pem" },
        remoteSpecProvider: { addr: "ws-manager:8080" },
        store: "/mnt/cache/registry",
        requireAuth: false,
        staticLayer: [{ ref: "eu.gcr.io/gitpod/supervisor:1", type: "image" }],
        handover: { enabled: true, sockets: "/mnt/handover" },
      },
      pprofAddr: ":6060",
      prometheusAddr: ":9500",
    }
    writeFileSync(file, JSON.stringify(original))

    expect(await loadConfig(file)).toMatchObject({
      registry: { port: 3000, specProviders: [{ kind: "grpc", addr: "ws-manager:8080" }] },
    })
  })

  test("C-13: its example, which its own program no longer understands, is refused with what to write instead", async () => {
    const file = join(tempDir(), "config.json")
    const redis = { masterName: "mymaster", sentinelAddrs: ["localhost:26379"], password: "hunter2" }
    const ipfs = { enabled: true, redis: { singleHostAddr: "localhost:6379" }, ipfs: "/ip4/127.0.0.1/tcp/5001" }
    writeFileSync(file, JSON.stringify({ registry: { port: 8080, ipfs, redis } }))
    const told = String(await loadConfig(file).catch((error) => error.message))

    expect(told.split("\n").toSorted()).toEqual([
      expect.stringContaining(
        'registry.ipfs.ipfs: unknown key, it is now "registry": { "ipfs": { "enabled": true, "ipfsAddr"',
      ),
      expect.stringContaining(
        'registry.ipfs.redis: unknown key, it is now a section of its own: "registry": { "redis"',
      ),
      expect.stringContaining('registry.redis.masterName: unknown key, it is now "sentinel": { "master"'),
      expect.stringContaining(
        "registry.redis.password: unknown key, it is read from the environment: set REDIS_PASSWORD",
      ),
      expect.stringContaining('registry.redis.sentinelAddrs: unknown key, it is now "sentinel": { "addrs"'),
    ])
    expect(told).not.toContain("hunter2")
  })
})
