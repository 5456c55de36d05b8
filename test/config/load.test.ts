import { describe, expect, test } from "bun:test"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { loadConfig } from "../../src/config/load.ts"
import { tempDir } from "../helpers/temp-dir.ts"

function written(text: unknown): string {
  const file = join(tempDir(), "config.json")
  writeFileSync(file, typeof text === "string" ? text : JSON.stringify(text))
  return file
}
const load = (value: unknown) => loadConfig(written(value))

/** What is wrong, without the directory. */
async function problems(value: unknown): Promise<string> {
  const file = written(value)
  return await loadConfig(file).then(
    () => "nothing is wrong",
    (error) => String(error.message).replaceAll(file, "config.json"),
  )
}

describe("loadConfig()", () => {
  test("fills in every default", async () => {
    const config = await load({ registry: { defaultPlatform: "linux/amd64" } })

    expect(config).toMatchObject({
      pprofAddr: null,
      prometheusAddr: null,
      readinessProbeAddr: null,
      shutdownDelayMs: 5000,
      shutdownGraceMs: 300_000,
      registry: {
        host: "0.0.0.0",
        port: 31_750,
        prefix: "",
        store: null,
        staticLayers: [],
        specProviders: [],
        fixedSpecs: null,
        tagTtlMs: 60_000,
        defaultPlatform: { os: "linux", architecture: "amd64" },
      },
    })
    expect(config.registry?.upstreams.size).toBe(0)
  })

  test("takes what is given, with durations in milliseconds and paths from the file's directory", async () => {
    const file = written({
      prometheusAddr: "127.0.0.1:9500",
      readinessProbeAddr: ":8086",
      shutdown: { delay: "0", grace: "1m30s" },
      registry: {
        host: "::1",
        port: 0,
        prefix: "/a/b/",
        store: "store",
        staticLayer: [
          { type: "file", ref: "layer.tar" },
          { type: "dir", ref: "/abs/dir" },
          { type: "image", ref: "ghcr.io/acme/agent:1" },
          { type: "image", ref: "oci:agent:1" },
        ],
        remoteSpecProvider: [
          { addr: "dns:///ws-manager:8080", tls: { ca: "ca.crt", crt: "/abs/tls.crt", key: "tls.key" } },
          { addr: "specs:1", serverName: "specs.internal" },
          { url: "https://specs.internal/{id}" },
        ],
        fixedSpecFN: "../specs.json",
        tagTTL: "250ms",
        defaultPlatform: "linux/arm64/v8",
        upstreams: { "GHCR.io": { ca: "ca.pem", username: "me", passwordFile: "password", plainHTTP: true } },
      },
    })
    const dir = join(file, "..")
    const config = await loadConfig(file)

    expect(config).toMatchObject({
      file,
      prometheusAddr: "127.0.0.1:9500",
      readinessProbeAddr: ":8086",
      shutdownDelayMs: 0,
      shutdownGraceMs: 90_000,
      registry: {
        host: "::1",
        port: 0,
        prefix: "/a/b",
        store: join(dir, "store"),
        staticLayers: [
          { type: "file", ref: join(dir, "layer.tar"), text: "layer.tar" },
          { type: "dir", ref: "/abs/dir", text: "/abs/dir" },
          { type: "image", ref: "ghcr.io/acme/agent:1", text: "ghcr.io/acme/agent:1" },
          { type: "image", ref: `oci:${join(dir, "agent:1")}`, text: "oci:agent:1" },
        ],
        specProviders: [
          {
            kind: "grpc",
            addr: "dns:///ws-manager:8080",
            tls: { ca: join(dir, "ca.crt"), crt: "/abs/tls.crt", key: join(dir, "tls.key") },
            serverName: null,
          },
          { kind: "grpc", addr: "specs:1", tls: null, serverName: "specs.internal" },
          { kind: "http", url: "https://specs.internal/{id}" },
        ],
        fixedSpecs: join(dir, "..", "specs.json"),
        tagTtlMs: 250,
        defaultPlatform: { os: "linux", architecture: "arm64" },
      },
    })
    expect(config.registry?.upstreams.get("ghcr.io")).toEqual({
      plainHTTP: true,
      insecureSkipVerify: false,
      ca: join(dir, "ca.pem"),
      mirrors: [],
      realms: [],
      username: "me",
      passwordFile: join(dir, "password"),
    })
  })

  test.each([
    ["", ""],
    ["/", ""],
    ["a", "/a"],
    ["/a/b//", "/a/b"],
  ])("prefix %j is %j", async (prefix, expected) => {
    expect((await load({ registry: { prefix } })).registry?.prefix).toBe(expected)
  })

  test("an empty text is as good as none where there is nothing to be empty", async () => {
    const config = await load({
      prometheusAddr: "",
      dockerAuth: "",
      registry: { store: "", fixedSpecFN: "", upstreams: { "x.io": { ca: "", username: "" } } },
    })

    expect(config).toMatchObject({ prometheusAddr: null, registry: { store: null, fixedSpecs: null } })
    expect(config.registry?.upstreams.get("x.io")).toMatchObject({ ca: null, username: null, passwordFile: null })
  })

  test("a single provider is as good as a list of one", async () => {
    const config = await load({ registry: { remoteSpecProvider: { addr: "x:1", tls: { ca: "" } } } })
    const tls = { ca: null, crt: null, key: null }
    expect(config.registry?.specProviders).toEqual([{ kind: "grpc", addr: "x:1", tls, serverName: null }])
  })

  test("C-16: TELEPRESENCE_ROOT stands before absolute paths of what a container mounts, and before no other", async () => {
    const tls = { ca: "/certs/ca.crt", crt: "tls.crt", key: "/certs/tls.key" }
    const staticLayer = [{ type: "file", ref: "/layers/a.tar" }]
    const file = written({
      registry: {
        store: "/mnt/cache",
        fixedSpecFN: "/specs.json",
        staticLayer,
        remoteSpecProvider: { addr: "x:1", tls },
      },
    })
    const { registry } = await loadConfig(file, { TELEPRESENCE_ROOT: "/tel/root" })

    expect(registry?.store).toBe("/tel/root/mnt/cache")
    expect(registry?.specProviders).toMatchObject([
      { tls: { ca: "/tel/root/certs/ca.crt", crt: join(file, "../tls.crt"), key: "/tel/root/certs/tls.key" } },
    ])
    expect([registry?.fixedSpecs, registry?.staticLayers[0]?.ref]).toEqual(["/specs.json", "/layers/a.tar"])
  })

  test("names the file that is missing", async () => {
    await expect(loadConfig("/nowhere/config.json")).rejects.toThrow(
      "Cannot read configuration /nowhere/config.json: there is no such file",
    )
  })
})

describe("what is wrong with a configuration", () => {
  test.each([
    ['{\n"registry": {\n"prot": 1 } }', 'config.json:3: registry.prot: unknown key, did you mean "port"?'],
    ['{\n"registri": {} }', 'config.json:2: registri: unknown key, did you mean "registry"?'],
    [
      '{ "registry": {\n"port": "31750" } }',
      'config.json:2: registry.port: expected a whole number from 0 to 65535, got "31750"',
    ],
    [
      '{ "registry": { "port": 65536 } }',
      "config.json:1: registry.port: expected a whole number from 0 to 65535, got 65536",
    ],
    ['{ "registry": { "storeMinFreeBytes": 1.5 } }', "registry.storeMinFreeBytes: expected a whole number"],
    ['{ "registry": { "tagTTL": "60" } }', 'registry.tagTTL: expected a duration like "90s" or "1m30s", got "60"'],
    ['{ "registry": { "tagTTL": 60 } }', 'registry.tagTTL: expected a duration like "90s" or "1m30s", got 60'],
    ['{ "registry": { "staleIfError": "1d" } }', "registry.staleIfError: expected a duration"],
    ['{ "shutdown": { "delay": "soon" } }', "shutdown.delay: expected a duration"],
    [
      '{ "prometheusAddr": "9500" }',
      'prometheusAddr: expected an address like "127.0.0.1:9500" or ":9500", got "9500"',
    ],
    ['{ "pprofAddr": "http://x:1" }', "pprofAddr: expected an address"],
    ['{ "readinessProbeAddr": 8086 }', "readinessProbeAddr: expected an address"],
    [
      '{ "registry": { "defaultPlatform": "amd64" } }',
      'registry.defaultPlatform: expected a platform like "linux/amd64", got "amd64"',
    ],
    ['{ "registry": { "staticLayer": { "type": "file" } } }', "registry.staticLayer: expected a list, got an object"],
    [
      '{ "registry": { "staticLayer": [\n{ "type": "url",\n"ref": "x" } ] } }',
      'config.json:2: registry.staticLayer[0].type: expected "file" or "image" or "dir", got "url"',
    ],
    ['{ "registry": { "staticLayer": [{ "type": "file" }] } }', "registry.staticLayer[0].ref: is missing"],
    [
      '{ "registry": { "staticLayer": [{ "type": "file", "ref": "" }] } }',
      "registry.staticLayer[0].ref: expected a path or an image reference",
    ],
    [
      '{ "registry": { "staticLayer": [{ "type": "image", "ref": "UP" }] } }',
      'registry.staticLayer[0].ref: Cannot parse image reference "UP"',
    ],
    [
      '{ "registry": { "staticLayer": [{ "type": "image", "ref": "scratch" }] } }',
      "registry.staticLayer[0].ref: the empty image has no layers",
    ],
    [
      '{ "registry": { "remoteSpecProvider": { "addr": "x" } } }',
      'registry.remoteSpecProvider.addr: expected "host:port"',
    ],
    [
      '{ "registry": { "remoteSpecProvider": [{ "url": "https://x/specs" }] } }',
      'registry.remoteSpecProvider[0].url: expected an http or https URL with {id} in it, got "https://x/specs"',
    ],
    ['{ "registry": { "remoteSpecProvider": [{ "url": "https://[/{id}" }] } }', "remoteSpecProvider[0].url: is no URL"],
    [
      '{ "registry": { "remoteSpecProvider": [{ "addr": "x:1", "tls": { "crt": "a" } }] } }',
      'registry.remoteSpecProvider[0].tls: needs both "crt" and "key", or neither',
    ],
    ...[
      "https://x",
      "x/y",
      "x y",
      "",
      "x:",
      "x:port",
      "x:99999",
      ":5000",
      "-x",
      "x?",
      "me@x",
      "[::1",
      "a,b",
      "*.x",
    ].map((host): [string, string] => [
      `{ "registry": { "upstreams": { ${JSON.stringify(host)}: {} } } }`,
      'expected a host, like "ghcr.io" or "127.0.0.1:5000"',
    ]),
    [
      '{ "registry": { "upstreams": { "docker.io": {}, "index.docker.io": {} } } }',
      'registry.upstreams["index.docker.io"]: is the same host as "docker.io"',
    ],
    [
      '{ "registry": { "upstreams": { "x.io": {}, "X.io": {} } } }',
      'registry.upstreams["X.io"]: is the same host as "x.io"',
    ],
    [
      '{ "registry": { "upstreams": { "x.io": { "realms": ["https://auth.x.net"] } } } }',
      'registry.upstreams["x.io"].realms[0]: expected a host like "auth.example.com"',
    ],
    [
      '{ "registry": { "upstreams": { "x.io": { "realms": ["auth.x.net", "auth.x.net:99999"] } } } }',
      'registry.upstreams["x.io"].realms[1]: is no host',
    ],
    [
      '{ "registry": { "upstreams": { "x.io": { "mirrors": ["https://me:hunter2@y.io"] } } } }',
      'registry.upstreams["x.io"].mirrors[0]: holds a login; put it into "upstreams" of its own host',
    ],
    [
      '{ "registry": { "upstreams": { "x.io": { "mirrors": ["https://y.io/?a=b"] } } } }',
      'registry.upstreams["x.io"].mirrors[0]: expected a URL without ? and #',
    ],
    [
      '{ "registry": { "upstreams": { "x.io": {\n"plainHttp": true } } } }',
      'config.json:2: registry.upstreams["x.io"].plainHttp: unknown key, did you mean "plainHTTP"?',
    ],
    [
      '{ "registry": { "upstreams": { "x.io": { "username": "me" } } } }',
      'registry.upstreams["x.io"]: "username" needs "passwordFile"',
    ],
    [
      '{ "registry": { "upstreams": { "x.io": { "username": "me", "passwordFile": "" } } } }',
      'registry.upstreams["x.io"]: "username" needs "passwordFile"',
    ],
    [
      '{ "registry": { "upstreams": { "x.io": { "passwordFile": "p" } } } }',
      'registry.upstreams["x.io"]: "passwordFile" needs "username"',
    ],
    [
      '{ "registry": { "upstreams": { "x.io": { "mirrors": ["https://["] } } } }',
      'registry.upstreams["x.io"].mirrors[0]: is no URL',
    ],
    [
      '{ "registry": { "upstreams": { "x.io": { "mirrors": ["y"] } } } }',
      'registry.upstreams["x.io"].mirrors[0]: expected an http or https URL, got "y"',
    ],
    [
      '{ "registry": { "upstreams": { "x.io": { "mirrors": ["https://y", "https://[/"] } } } }',
      'registry.upstreams["x.io"].mirrors[1]: is no URL',
    ],
    ['{ "tracing": { "otlpEndpoint": "http://[::1]:99999" }, "registry": {} }', "tracing.otlpEndpoint: is no URL"],
    ['{ "registry": { "requireAuth": true } }', 'registry.requireAuth: needs "auth"'],
    ['{ "registry": { "requireAuth": true, "auth": {} } }', 'registry.requireAuth: needs "auth"'],
    ['{ "registry": { "requireAuth": true, "auth": { "htpasswd": "" } } }', 'registry.requireAuth: needs "auth"'],
    ['{ "registry": { "auth": { "htpasswd": "users" } } }', 'registry.requireAuth: is missing beside "auth"'],
    ['{ "registry": { "requireAuht": true, "auth": { "htpasswd": "users" } } }', 'did you mean "requireAuth"?'],
    ['{ "registry": { "requireAuth": "yes" } }', 'registry.requireAuth: expected true or false, got "yes"'],
    ['{ "registry": { "tls": { "crt": "x" } } }', 'registry.tls: needs both "crt" and "key"'],
    ['{ "registry": { "tls": { "crt": "x", "key": "" } } }', 'registry.tls: needs both "crt" and "key"'],
    ['{ "registry": { "tls": { "crt": "x", "key": "y", "clientCA": "" } } }', "registry.tls.clientCA: expected a file"],
    [
      '{ "registry": { "remoteSpecProvider": [{ "url": "file:///x" }] } }',
      "registry.remoteSpecProvider[0].url: expected an http or https URL with {id} in it",
    ],
    [
      '{ "registry": { "remoteSpecProvider": [{ "addr": "x:1", "tls": { "cert": "y" } }] } }',
      'registry.remoteSpecProvider[0].tls.cert: unknown key, did you mean "crt"?',
    ],
    ['{ "registry": { "redis": { "password": "hunter2" } } }', "registry.redis.password: unknown key"],
    [
      '{ "registry": { "ipfs": { "cluster": { "replicationMin": "2" } } } }',
      'registry.ipfs.cluster.replicationMin: expected a whole number, got "2"',
    ],
    [
      '{ "blobserve": { "timeout": true } }',
      'blobserve.timeout: expected a duration like "5s" or nanoseconds, got true',
    ],
    ['{ "blobserve": { "timeout": "5" } }', 'blobserve.timeout: expected a duration like "5s" or nanoseconds, got "5"'],
    [
      '{ "blobserve": { "repos": { "x": { "layers": "some" } } } }',
      'blobserve.repos.x.layers: expected "first" or "all", got "some"',
    ],
    [
      '{ "registry": {},\n"blobserve": { "blobSpace": { "maxSizeBytes": 1 } } }',
      "config.json:2: blobserve.blobSpace.maxSizeBytes: limits a directory of its own",
    ],
    [
      '{ "registry": {}, "blobserve": { "blobSpace": { "location": "", "maxSizeBytes": 1 } } }',
      'or limit the registry\'s store with "registry.storeMaxSizeBytes"',
    ],
    ["{}", 'config.json:1: (document): expected "registry" or "blobserve", there is nothing to serve'],
    ["[]", "config.json:1: (document): expected an object, got a list"],
    ['{ "registry": null }', "config.json:1: registry: expected an object, got null"],
    ['{ "registry": {},\n"registry": {} }', "config.json: line 2: registry stands twice"],
    ['{\n// why not\n"registry": {} }', "config.json: line 2: invalid comment token"],
    ['{ "registry": {', "config.json: line 1: "],
    ["", "config.json: line 1: expected JSON, the document is empty"],
  ])("%j", async (text, message) => {
    expect(await problems(text)).toContain(message)
  })

  test.each([
    { blobserve: { blobSpace: { maxSizeBytes: 1 } } },
    { blobserve: { blobSpace: { location: "space", maxSizeBytes: 1 } } },
    { registry: {}, blobserve: { blobSpace: { location: "space", maxSizeBytes: 1 } } },
    { registry: {}, blobserve: { blobSpace: { maxSizeBytes: 0 } } },
    { registry: {}, blobserve: {} },
  ])("a space for files has a limit that holds: %j", async (config) => {
    expect(await problems(config)).toBe("nothing is wrong")
  })

  test("is told all at once", async () => {
    const told = await problems({ registri: {}, registry: { port: -1, tagTTL: "x", upstreams: { a: { b: 1 } } } })

    expect(told.split("\n")).toHaveLength(4)
  })

  test("is told without secrets", async () => {
    const secret = { registry: { redis: { password: "hunter2" }, upstreams: { x: { mirrors: ["//me:hunter2@y"] } } } }

    expect(await problems(secret)).not.toContain("hunter2")
  })

  test.each([
    [{ redis: { enabled: true } }, 'redis: expected one of "singleHostAddr", "sentinel" and "cluster"'],
    [{ redis: { enabled: true, singleHostAddr: "a:1:2" } }, 'redis: "a:1:2" is no host:port'],
    [{ redis: { enabled: true, sentinel: { master: "m" } } }, 'redis.sentinel: expected "addrs"'],
    [{ ipfs: { enabled: true } }, 'ipfs: expected "ipfsAddr", like /ip4/127.0.0.1/tcp/5001'],
    [{ ipfs: { enabled: true, ipfsAddr: "x", profile: "y" } }, "ipfs.profile: expected one of unixfs-v1-2025"],
    [{ ipfs: { enabled: true, ipfsAddr: "nonsense" } }, 'ipfs.ipfsAddr: "nonsense" is no address of an IPFS node'],
    [
      { ipfs: { enabled: true, ipfsAddr: "http://a:1", cluster: { url: "http://a", expireIn: "soon" } } },
      "ipfs.cluster.expireIn: expected a duration",
    ],
  ])("%j is refused", async (registry, message) => {
    expect(await problems({ registry })).toContain(`config.json:1: registry.${message}`)
  })

  test.each([
    [
      {
        registry: { redis: { enabled: false, singleHostAddr: "x" }, ipfs: { enabled: false }, remoteSpecProvider: [] },
      },
    ],
    [{ registry: { requireAuth: false, auth: { htpasswd: "x" } }, dockerAuth: "", pprofAddr: "", tracing: {} }],
  ])("%j is turned off, and fine", async (value) => {
    expect(await problems(value)).toBe("nothing is wrong")
  })
})
