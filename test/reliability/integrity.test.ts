import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { BYTES, type Fault } from "../chaos/faults.ts"
import { type FaultyFacade, startFaultyFacade, storedDigests } from "../helpers/faulty-facade.ts"
import { image, opaqueLayer, type TestLayer } from "../helpers/images.ts"
import { until } from "../helpers/until.ts"

setDefaultTimeout(30_000)

const MIB = 1024 * 1024
/** More than what is verified before its first byte leaves. */
const LARGE = 9 * MIB
const SMALL = 600_000

interface ErrorBody {
  readonly errors: readonly { readonly code: string; readonly detail: string; readonly message: string }[]
}

describe("bytes that are not the blob", () => {
  const made: TestLayer[] = []
  const blobs = (size: number, kinds: readonly Fault[]) =>
    kinds.map((fault) => {
      const blob = opaqueLayer(size, made.length)
      made.push(blob)
      return [fault, blob] as const
    })
  const small = blobs(SMALL, BYTES)
  const large = blobs(LARGE, BYTES)
  const ranged = blobs(LARGE, BYTES)
  const [[, alwaysWrong], [, encodedOnce], [, encodedAlways]] = blobs(SMALL, ["flip", "encoded", "encoded"]) as [
    readonly [Fault, TestLayer],
    readonly [Fault, TestLayer],
    readonly [Fault, TestLayer],
  ]
  let server: FaultyFacade

  beforeAll(async () => {
    server = await startFaultyFacade({ images: { a: await image({ layers: made }) } })
  })
  afterAll(async () => await server.stop())

  const failures = async () => await server.metric('integrity_failures_total{source="upstream"}')

  test.each(small)("A3, A4, D-7: %s in a blob of at most 8 MiB is never seen by a client", async (fault, blob) => {
    const before = await failures()
    server.upstream.plan(blob.digest, fault)
    const { status, headers, body } = await server.pull(blob)

    expect([status, headers.get("content-length"), body?.equals(blob.bytes)]).toEqual([200, String(SMALL), true])
    expect([server.upstream.asked(blob.digest).length, await failures()]).toEqual([2, before + 1])
  })

  test.each(large)(
    "A3, A4, D-7: a larger blob with %s never ends well, is not kept, and is right next time",
    async (fault, blob) => {
      const before = await failures()
      server.upstream.plan(blob.digest, fault)
      const first = await server.pull(blob)

      // Too long is told before the end, the rest is told by the digest; either way the connection breaks
      expect([first.status, first.body]).toEqual([200, null])
      expect(await failures()).toBe(before + 1)
      expect(storedDigests(server.facade.dir).has(blob.digest)).toBe(false)
      await until(async () => (await server.pull(blob)).body?.equals(blob.bytes) === true)
    },
  )

  test.each(ranged)(
    "A3, A4: the same for a range of it, of which no wrong byte may be the last (%s)",
    async (fault, blob) => {
      server.upstream.plan(blob.digest, { fault, place: 0.01 })
      const { body } = await server.pull(blob, { headers: { range: `bytes=0-${MIB - 1}` } })

      expect(body === null || body.equals(blob.bytes.subarray(0, MIB))).toBe(true)
      expect(fault !== "long" && body !== null).toBe(false)
    },
  )

  test("A3: an upstream that is wrong each time is told to the client, and asked no more than twice", async () => {
    server.upstream.plan(alwaysWrong.digest, ...Array<Fault>(20).fill("flip"))
    const { status, headers, body } = await server.pull(alwaysWrong)
    const { errors } = JSON.parse(body?.toString() ?? "{}") as ErrorBody

    expect([status, errors[0]?.code, errors[0]?.detail]).toEqual([502, "DIGEST_INVALID", "upstream_integrity"])
    expect(errors[0]?.message).toContain(server.upstream.host)
    expect([headers.get("content-length"), server.upstream.asked(alwaysWrong.digest).length]).toEqual([
      String(body?.byteLength),
      2,
    ])
    expect(storedDigests(server.facade.dir).has(alwaysWrong.digest)).toBe(false)
  })

  test("A8: content that something on the way has encoded is not taken, and asked for again", async () => {
    server.upstream.plan(encodedOnce.digest, "encoded")
    const { status, headers, body } = await server.pull(encodedOnce)

    expect([status, headers.get("content-encoding"), body?.equals(encodedOnce.bytes)]).toEqual([200, null, true])
    expect(server.upstream.asked(encodedOnce.digest).length).toBe(2)
  })

  test("A8: where it is encoded each time, the client is told, and nothing is decoded", async () => {
    server.upstream.plan(encodedAlways.digest, ...Array<Fault>(20).fill("encoded"))
    const { status, headers, body } = await server.pull(encodedAlways)
    const { errors } = JSON.parse(body?.toString() ?? "{}") as ErrorBody

    expect([status, errors[0]?.code, headers.has("retry-after")]).toEqual([503, "UNAVAILABLE", true])
    expect(errors[0]?.message).toContain('encoded as "gzip"')
    expect(storedDigests(server.facade.dir).has(encodedAlways.digest)).toBe(false)
  })
})
