import { afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { RegistryError } from "../../src/oci/error.ts"
import { type GrpcOptions, GrpcSpecSource } from "../../src/spec/grpc.ts"
import { createMetrics } from "../../src/telemetry/metrics.ts"
import { type Authority, createAuthority } from "../helpers/certificates.ts"
import { needs } from "../helpers/programs.ts"
import { silentLogger } from "../helpers/silent-logger.ts"
import { SPEC_SERVER, type SpecServer, type SpecServerOptions, startSpecServer } from "../helpers/spec-server.ts"
import { tempDir } from "../helpers/temp-dir.ts"
import { until } from "../helpers/until.ts"

setDefaultTimeout(30_000)

const requirement = needs(SPEC_SERVER, "openssl")
const never = new AbortController().signal

const stops: (() => unknown)[] = []
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop()
})

async function serve(options: SpecServerOptions = {}): Promise<SpecServer> {
  const server = await startSpecServer(options)
  stops.push(server.stop)
  return server
}

function ask(addr: string, options: Partial<GrpcOptions> = {}): GrpcSpecSource {
  const source = new GrpcSpecSource({
    addr,
    tls: null,
    serverName: null,
    attemptsMs: [5000, 10_000],
    log: silentLogger,
    metrics: createMetrics().grpc,
    ...options,
  })
  stops.push(() => source.close())
  return source
}

const failure = async (source: GrpcSpecSource, name: string) =>
  await source.lookup(name, never).then(
    (spec) => `no failure: ${JSON.stringify(spec?.baseText)}`,
    (error) => error,
  )

describe.skipIf(requirement.isMissing)(`specs over gRPC${requirement.note}`, () => {
  test("A-2 to A-5 on the wire: every field of a spec that Go's protobuf has written arrives", async () => {
    const digest = `sha256:${"a".repeat(64)}`
    const remote = {
      url: "https://x/y",
      digest,
      diffId: `sha256:${"b".repeat(64)}`,
      mediaType: "a/b",
      size: "8589934592",
    }
    const spec = {
      baseRef: "alpine:latest",
      ideRef: "x.io/ide:1",
      supervisorRef: "x.io/supervisor:2",
      ideLayerRef: ["x.io/l1:3", "x.io/l2:4"],
      contentLayer: [{ remote }, { direct: { content: Buffer.from("tar").toString("base64") } }],
    }
    const { addr } = await serve({ answers: { a: { spec } } })

    const found = await ask(addr).lookup("a", never)

    expect(found?.baseText).toBe("alpine:latest")
    expect(found?.layers.map(({ text }) => text)).toEqual([
      ...["x.io/ide:1", "x.io/supervisor:2", "x.io/l1:3", "x.io/l2:4"],
      "url https://x/y",
      "content",
    ])
    expect(found?.layers[4]).toMatchObject({ digest, diffID: remote.diffId, mediaType: "a/b", size: 8589934592 })
    expect(found?.layers[5]).toMatchObject({ content: new Uint8Array(Buffer.from("tar")) })
    expect(found?.trust).toBe("remote")
  })

  test("calls are counted under the names that dashboards of Go's clients query", async () => {
    const { grpc: metrics, registry } = createMetrics()
    const { addr } = await serve({ answers: { a: { spec: { baseRef: "alpine:1" } } } })
    const source = ask(addr, { metrics })
    await source.lookup("a", never)
    await source.lookup("unknown", never)

    const text = await registry.metrics()
    const call = 'grpc_type="unary",grpc_service="registryfacade.SpecProvider",grpc_method="GetImageSpec"'

    expect(text).toContain(`grpc_client_started_total{${call}} 2\n`)
    expect(text).toContain(`grpc_client_handled_total{${call},grpc_code="OK"} 1\n`)
    expect(text).toContain(`grpc_client_handled_total{${call},grpc_code="NotFound"} 1\n`)
    expect(text).toContain(`grpc_client_msg_sent_total{${call}} 2\n`)
    expect(text).toContain(`grpc_client_msg_received_total{${call}} 1\n`)
    expect(text).toContain(`grpc_client_handling_seconds_count{${call}} 2\n`)
  })

  test("calls that find nobody are counted as unavailable, each attempt", async () => {
    const { grpc: metrics, registry } = createMetrics()
    const source = ask("127.0.0.1:1", { metrics, attemptsMs: [500, 500] })
    await failure(source, "a")

    expect(await registry.metrics()).toMatch(/^grpc_client_handled_total\{.*grpc_code="Unavailable"\} 2$/m)
  })

  test("a name that the server does not know is no spec", async () => {
    const { addr } = await serve()
    expect(await ask(addr).lookup("nope", never)).toBeNull()
  })

  test.each([
    [3, null],
    [5, null],
    [7, "PERMISSION_DENIED"],
    [9, "FAILED_PRECONDITION"],
    [12, "UNIMPLEMENTED"],
    [13, "INTERNAL"],
    [14, "UNAVAILABLE"],
    [16, "UNAUTHENTICATED"],
  ])("status %i is %p: only an unknown name is told as one", async (code, told) => {
    const { addr } = await serve({ answers: { a: { code, message: "why" } } })
    const source = ask(addr)
    if (told === null) return expect(await source.lookup("a", never)).toBeNull()
    const error = await failure(source, "a")
    expect(error).toMatchObject({ code: "UNAVAILABLE", status: 503 })
    expect(error.message).toBe(`Cannot get the spec of a from grpc ${addr}: ${told}: why`)
  })

  test.each([
    ["an empty spec", {}, "baseRef: is missing"],
    ["a layout of this machine", { baseRef: "oci:/etc" }, "baseRef: a spec from a remote provider cannot use files"],
    [
      "a layout as a layer",
      { baseRef: "a", ideRef: "oci:/srv" },
      "ideRef: a spec from a remote provider cannot use files",
    ],
    ["a remote layer without url", { baseRef: "a", contentLayer: [{ remote: { digest: "x" } }] }, '"url" must be'],
    ["a layer that is neither", { baseRef: "a", contentLayer: [{}] }, 'expected either "remote" or "direct"'],
  ])("%s is refused, and the client is told why", async (_name, spec, message) => {
    const { addr } = await serve({ answers: { a: { spec } } })
    const error = await failure(ask(addr), "a")
    expect(error).toMatchObject({ code: "MANIFEST_INVALID", status: 400 })
    expect(error.message).toContain(message)
  })

  test("an answer without a spec is an unknown name", async () => {
    const { addr } = await serve({ answers: { a: {} } })
    expect(await ask(addr).lookup("a", never)).toBeNull()
  })

  test("15 MiB of content arrive, and more than 16 MiB are refused", async () => {
    const specOf = (mib: number) => ({
      spec: { baseRef: "a", contentLayer: [{ direct: { content: Buffer.alloc(mib << 20, 1).toString("base64") } }] },
    })
    const { addr } = await serve({ answers: { large: specOf(15), huge: specOf(17) } })
    const source = ask(addr, { attemptsMs: [30_000] })

    const large = await source.lookup("large", never)
    const huge = await failure(source, "huge")

    expect(large?.layers[0]).toMatchObject({ content: { byteLength: 15 << 20 } })
    expect(huge.message).toContain("RESOURCE_EXHAUSTED: Received message larger than max")
    expect(await source.lookup("nope", never)).toBeNull()
  }, 60_000)

  test("nobody at the address is told at once, and found again when it is back", async () => {
    const first = await serve({ answers: { a: { spec: { baseRef: "a" } } } })
    const source = ask(first.addr)
    await source.lookup("a", never)
    await first.stop()

    const startedAt = performance.now()
    const error = await failure(source, "a")
    const took = performance.now() - startedAt
    await serve({ addr: first.addr, answers: { a: { spec: { baseRef: "b" } } } })

    expect(error).toMatchObject({ code: "UNAVAILABLE", detail: "provider_unreachable", retryAfterSeconds: 2 })
    expect(error.message).toEndWith(`from grpc ${first.addr}: UNAVAILABLE: connect ECONNREFUSED ${first.addr}`)
    expect(took).toBeLessThan(5000)
    expect((await source.lookup("a", never))?.baseText).toBe("b")
  })

  test("a server that says nothing more is given up on after the deadlines, on two connections", async () => {
    const server = await serve({ answers: { a: { spec: { baseRef: "a" } } } })
    const source = ask(server.addr, { attemptsMs: [200, 300] })
    await ask(server.addr).lookup("a", never)
    await server.freeze()

    const error = await failure(source, "a")
    server.signal("SIGCONT")

    expect(error).toMatchObject({ code: "UNAVAILABLE", status: 503, detail: "provider_unreachable" })
    await until(async () => (await source.lookup("a", never).catch(() => null))?.baseText === "a")
  })

  test("a connection that died without a word costs one attempt, not the answer", async () => {
    const server = await serve({
      answers: { a: { spec: { baseRef: "a" } }, slow: { delayMs: 1500, spec: { baseRef: "s" } } },
    })
    const source = ask(server.addr, { attemptsMs: [500, 10_000] })

    expect((await source.lookup("slow", never))?.baseText).toBe("s")
    expect(server.calls).toEqual(["slow", "slow"])
  })

  test("other calls on a connection that is given up on are not lost", async () => {
    const answers = { slow: { delayMs: 1000, spec: { baseRef: "s" } }, dead: { delayMs: 60_000 } }
    const server = await serve({ answers })
    const source = ask(server.addr, { attemptsMs: [3000] })
    const impatient = new AbortController()
    const slow = source.lookup("slow", never)
    const dead = source.lookup("dead", impatient.signal).catch((error) => error)
    await until(() => server.calls.length === 2)
    impatient.abort(new Error("left"))

    expect((await dead).message).toBe("left")
    expect((await slow)?.baseText).toBe("s")
    await until(() => server.left.includes("dead"))
  })

  test("a server that ends its connections every moment (GOAWAY) loses no call", async () => {
    const { addr } = await serve({ answers: { a: { spec: { baseRef: "a" } } }, flags: ["-maxage", "100ms"] })
    const source = ask(addr)
    const startedAt = performance.now()
    let calls = 0
    while (performance.now() - startedAt < 1500) {
      const found = await Promise.all(Array.from({ length: 10 }, () => source.lookup("a", never)))
      expect(found.every((spec) => spec?.baseText === "a")).toBe(true)
      calls += found.length
    }
    expect(calls).toBeGreaterThan(50)
  })

  test("targets of gRPC are understood", async () => {
    const { addr } = await serve()
    expect(await ask(`dns:///${addr}`).lookup("nope", never)).toBeNull()
    expect(await ask(`ipv4:${addr}`).lookup("nope", never)).toBeNull()
  })

  describe("with TLS", () => {
    let authority: Authority
    let dir: string
    beforeAll(async () => {
      dir = tempDir()
      authority = await createAuthority("specs", dir)
    })

    async function secure(names: readonly string[], more: readonly string[] = []) {
      const { crt, key } = await authority.issueAt(join(dir, `server-${names.join("-")}`), names)
      return await serve({
        answers: { a: { spec: { baseRef: "a" } } },
        flags: ["-crt", crt, "-key", key, "-ca", authority.path, ...more],
      })
    }

    const client = async (file: string) => ({
      ca: authority.path,
      ...(await authority.issueAt(join(dir, file), ["client"])),
    })

    test.each(["1.2", "1.3"])(
      "C-14: a certificate for ws-manager is enough, wherever the server is (TLS %s)",
      async (version) => {
        const { addr } = await secure(["ws-manager"], ["-maxtls", version])
        expect((await ask(addr, { tls: await client("client") }).lookup("a", never))?.baseText).toBe("a")
      },
    )

    test("so is one for the host, or for the configured name", async () => {
      const byHost = await secure(["127.0.0.1"])
      const byName = await secure(["specs.internal"])
      const tls = await client("client")
      expect((await ask(byHost.addr, { tls }).lookup("a", never))?.baseText).toBe("a")
      expect((await ask(byName.addr, { tls, serverName: "specs.internal" }).lookup("a", never))?.baseText).toBe("a")
    })

    test("any other certificate is refused: another name, another authority", async () => {
      const { addr } = await secure(["evil.example"])
      const tls = await client("client")
      const stranger = await createAuthority("stranger")
      const faults = [
        await failure(ask(addr, { tls }), "a"),
        await failure(ask((await secure(["ws-manager"])).addr, { tls, serverName: "specs.internal" }), "a"),
        await failure(ask((await secure(["ws-manager"])).addr, { tls: { ...tls, ca: stranger.path } }), "a"),
      ]
      expect(faults.map((error) => error instanceof RegistryError && error.code)).toEqual(Array(3).fill("UNAVAILABLE"))
      expect(faults[0].message).toContain("does not match certificate's altnames")
    })

    test("a client without a certificate is not let in", async () => {
      const { addr } = await secure(["ws-manager"])
      expect(await failure(ask(addr, { tls: { ca: authority.path, crt: null, key: null } }), "a")).toMatchObject({
        code: "UNAVAILABLE",
      })
    })

    test("C-14, D-27: a renewed client certificate is used without restart, a half-written one is not", async () => {
      const server = await secure(["ws-manager"])
      const wrong = await createAuthority("wrong")
      const { crt, key } = await wrong.issueAt(join(dir, "rotated"), ["client"])
      const source = ask(server.addr, { tls: { ca: authority.path, crt, key }, attemptsMs: [2000, 2000] })
      expect(await failure(source, "a")).toMatchObject({ code: "UNAVAILABLE" })

      await authority.issueAt(join(dir, "rotated"), ["client"])
      await until(async () => (await source.lookup("a", never).catch(() => null))?.baseText === "a")

      writeFileSync(crt, "-----BEGIN CERT")
      expect((await source.lookup("a", never))?.baseText).toBe("a")
      await server.freeze() // the connection has to be made anew, with the certificate that there was
      expect(await failure(source, "a")).toMatchObject({ code: "UNAVAILABLE", detail: "provider_unreachable" })
      server.signal("SIGCONT")
      await until(async () => (await source.lookup("a", never).catch(() => null))?.baseText === "a")
    })

    test("files that cannot be used are told when the source is made", async () => {
      const { ca, crt } = await client("one")
      const { key } = await client("two")
      writeFileSync(join(dir, "empty.pem"), "")
      const make = (tls: GrpcOptions["tls"]) => () => ask("127.0.0.1:1", { tls })
      expect(make({ ca, crt, key })).toThrow(`The key in ${key} does not belong to the certificate in ${crt}`)
      expect(make({ ca: join(dir, "missing"), crt: null, key: null })).toThrow("there is no such file")
      expect(make({ ca: join(dir, "empty.pem"), crt: null, key: null })).toThrow("it holds no PEM certificate")
    })
  })
})
