import { beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { configSchema } from "../../src/config/schema.ts"
import { type Authority, createAuthority } from "../helpers/certificates.ts"
import { runBinary } from "../helpers/run-binary.ts"
import { tempDir } from "../helpers/temp-dir.ts"

// The compiled program is started several times, on machines that have more to do
setDefaultTimeout(30_000)

function write(files: Readonly<Record<string, unknown>>): string {
  const dir = tempDir()
  for (const [name, content] of Object.entries(files)) writeFileSync(join(dir, name), JSON.stringify(content, null, 1))
  return dir
}

describe("config check", () => {
  test("says that a file is valid, with its specs", async () => {
    const dir = write({
      "config.json": { registry: { fixedSpecFN: "specs.json" } },
      "specs.json": { a: { baseRef: "scratch" }, "b/c": { baseRef: "ubuntu" } },
    })
    const { code, out, err } = await runBinary(["config", "check", join(dir, "config.json")])

    expect(out).toBe(`${dir}/config.json is valid, and so are the 2 specs in ${dir}/specs.json\n`)
    expect([code, err]).toEqual([0, ""])
  })

  test("C-13: takes what the Helm chart of 2021 wrote", async () => {
    const registry = {
      port: 3000,
      remoteSpecProvider: { addr: "ws-manager:8080" },
      store: "/mnt/cache/registry",
      requireAuth: false,
      staticLayer: [{ ref: "eu.gcr.io/gitpod/supervisor:1", type: "image" }],
      handover: { enabled: true, sockets: "/mnt/handover" },
    }
    const file = join(
      write({ "config.json": { registry, pprofAddr: ":6060", prometheusAddr: ":9500" } }),
      "config.json",
    )

    expect(await runBinary(["config", "check", file])).toEqual({ code: 0, out: `${file} is valid\n`, err: "" })
  })

  test("C-13: tells what to write in place of keys of the original's own example", async () => {
    const redis = { masterName: "mymaster", sentinelAddrs: ["localhost:26379"], password: "hunter2" }
    const ipfs = { enabled: true, redis: { singleHostAddr: "localhost:6379" }, ipfs: "/ip4/127.0.0.1/tcp/5001" }
    const file = join(write({ "config.json": { registry: { port: 8080, ipfs, redis } } }), "config.json")
    const { code, err } = await runBinary(["config", "check", file])

    expect(code).toBe(1)
    for (const key of ["ipfs.ipfs", "ipfs.redis", "redis.masterName", "redis.sentinelAddrs"])
      expect(err).toContain(`registry.${key}: unknown key, it is now `)
    expect(err).toContain("registry.redis.password: unknown key, it is read from the environment: set REDIS_PASSWORD")
    expect(err).not.toContain("hunter2")
  })

  test("tells everything that is wrong, with file, line and path", async () => {
    const file = join(write({ "config.json": { registry: { prot: 1, tagTTL: "x" } } }), "config.json")
    const { code, out, err } = await runBinary(["config", "check", file])

    expect(err.split("\n")).toEqual([
      `registry-facade: ${file}:3: registry.prot: unknown key, did you mean "port"?`,
      `${file}:4: registry.tagTTL: expected a duration like "90s" or "1m30s", got "x"`,
      "",
    ])
    expect([code, out]).toEqual([1, ""])
  })

  test("tells what is wrong with a spec, or that the file is missing", async () => {
    const dir = write({
      "config.json": { registry: { fixedSpecFN: "specs.json" } },
      "specs.json": { a: { baseRef: "UPPER" } },
      "other.json": { registry: { fixedSpecFN: "missing.json" } },
    })
    const wrong = await runBinary(["config", "check", join(dir, "config.json")])
    const missing = await runBinary(["config", "check", join(dir, "other.json")])

    expect(wrong.err).toStartWith(
      `registry-facade: ${dir}/specs.json:3: a.baseRef: Cannot parse image reference "UPPER"`,
    )
    expect(missing.err).toContain("missing.json")
    expect([wrong.code, missing.code]).toEqual([1, 1])
  })
})

describe("config check reads the files that the configuration names", () => {
  const UPSTREAM = { username: "bot", passwordFile: "password" }
  const PROVIDER = { addr: "ws-manager:8080", tls: { ca: "ca.crt", crt: "client.crt", key: "client.key" } }

  /** In a directory with files that can be used, but for `files`. */
  async function check(
    registry: Readonly<Record<string, unknown>>,
    files: Readonly<Record<string, string>> = {},
    top: Readonly<Record<string, unknown>> = {},
  ) {
    const dir = tempDir()
    const { crt, key } = await authority.issue("client")
    const good = {
      "ca.crt": authority.pem + authority.pem,
      "client.crt": readFileSync(crt, "utf8"),
      "client.key": readFileSync(key, "utf8"),
      password: "secret\n",
      "auths.json": "{}",
    }
    for (const [name, content] of Object.entries({ ...good, ...files })) writeFileSync(join(dir, name), content)
    const file = join(dir, "config.json")
    writeFileSync(file, JSON.stringify({ registry, ...top }))
    const { code, err } = await runBinary(["config", "check", file])
    return { code, err: err.replaceAll(`${dir}/`, "") }
  }

  let authority: Authority

  beforeAll(async () => {
    authority = await createAuthority()
  })

  const REDIS = { redis: { enabled: true, singleHostAddr: "redis:6379", useTLS: true, ca: "ca.crt" } }
  const BROKEN = `-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n`

  test("and finds nothing wrong with good ones", async () => {
    const upstreams = { "a.example": { ...UPSTREAM, ca: "ca.crt" } }
    const registry = { upstreams, remoteSpecProvider: PROVIDER, ...REDIS }

    expect(await check(registry, {}, { dockerAuth: "auths.json" })).toEqual({ code: 0, err: "" })
  })

  test.each<[string, Record<string, unknown>, Record<string, string>, string]>([
    ["an empty password", { upstreams: { "a.example": UPSTREAM } }, { password: "\n" }, "passwordFile of a.example"],
    [
      "an authority that is none",
      { upstreams: { "a.example": { ca: "ca.crt" } } },
      { "ca.crt": "x" },
      "ca.crt: it holds no",
    ],
    ["an authority of Redis", REDIS, { "ca.crt": "x" }, "ca.crt: it holds no PEM certificate"],
    [
      "a key of a provider",
      { remoteSpecProvider: PROVIDER },
      { "client.key": "x" },
      "client.key: it holds no private key",
    ],
  ])("and refuses %s", async (_, registry, files, problem) => {
    const { code, err } = await check(registry, files)

    expect(err).toContain(problem)
    expect(code).toBe(1)
  })

  test("and refuses a bundle of which one certificate cannot be read, because those behind it would not be trusted", async () => {
    const { code, err } = await check(
      { upstreams: { "a.example": { ca: "ca.crt" } } },
      { "ca.crt": authority.pem + BROKEN + authority.pem },
    )

    expect(err).toContain("ca.crt: it holds a certificate that cannot be read")
    expect(code).toBe(1)
  })

  test("and warns of an entry of dockerAuth that nothing is sent for", async () => {
    const auths = { auths: { "a.example": { auth: "no base64!" } } }
    const { code, err } = await check({}, { "auths.json": JSON.stringify(auths) }, { dockerAuth: "auths.json" })

    expect(err).toStartWith("Warning: Cannot use an entry of dockerAuth, auths.json, nothing is sent for it: ")
    expect(err).toContain("a.example")
    expect(code).toBe(0)
  })

  test("and refuses a dockerAuth that is no JSON", async () => {
    const { code, err } = await check({}, { "auths.json": "{" }, { dockerAuth: "auths.json" })

    expect(err).toContain("Cannot use dockerAuth, auths.json")
    expect(code).toBe(1)
  })
})

describe("config schema", () => {
  test("prints the JSON Schema of a configuration", async () => {
    const { code, out } = await runBinary(["config", "schema"])

    expect(JSON.parse(out)).toEqual({
      $schema: "https://json-schema.org/draft/2020-12/schema",
      ...JSON.parse(JSON.stringify(configSchema)),
    })
    expect(code).toBe(0)
  })
})
