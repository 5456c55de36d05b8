import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import type { Mode } from "../helpers/facade.ts"
import { type Content, image, opaqueLayer, type TestLayer } from "../helpers/images.ts"
import { errorsOf, type PullServer, startPullServer } from "../helpers/pull-server.ts"
import type { RawAnswer } from "../helpers/raw-http.ts"

const KIB = 1024
const MIB = 1024 * KIB

/** What a Range header is answered with: this span in a 206, all in a 200, or 416. */
type Expected = readonly [first: number, last: number] | 200 | 416
type Row = readonly [range: string, expected: Expected]

/** RFC 9110, 14. The first six are those of the conformance suite where the blob has its 2048 bytes. */
const rows = (size: number): readonly Row[] => [
  ["bytes=500-1499", [500, 1499]],
  ["bytes=500-", [500, size - 1]],
  ["bytes=-500", [size - 500, size - 1]],
  [`bytes=${size - 48}-${size + 2952}`, [size - 48, size - 1]],
  ["bytes=500-0", 416],
  [`bytes=${size + 2952}-${size + 7952}`, 416],
  ["bytes=0-", [0, size - 1]],
  ["bytes=0-0", [0, 0]],
  [`bytes=0-${size - 1}`, [0, size - 1]],
  [`bytes=0-${size - 2}`, [0, size - 2]],
  [`bytes=${size / 4}-${size / 2}`, [size / 4, size / 2]],
  [`bytes=${size - 1}-`, [size - 1, size - 1]],
  [`bytes=${size}-`, 416],
  ["bytes=-1", [size - 1, size - 1]],
  [`bytes=-${size - 1}`, [1, size - 1]],
  [`bytes=-${size}`, [0, size - 1]],
  [`bytes=-${size * 2}`, [0, size - 1]],
  ["bytes=-0", 416],
  ["bytes=1-99999999999999999999", [1, size - 1]],
  ["bytes=99999999999999999999-", 416],
  ["BYTES=00010-00019", [10, 19]],
  ["bytes=0-1,5-6", 200],
  ["items=0-5", 200],
]

/** Nothing that is understood, so everything is the answer. */
const IGNORED: readonly Row[] = [
  "bytes",
  "bytes=",
  "bytes=-",
  "bytes=a-b",
  "bytes=--5",
  "bytes=1-2-3",
  "bytes=0x1-5",
  "bytes=1.5-3",
  "bytes=5",
  "bytes:0-5",
  "0-5",
  "bytes=0-0,-1",
  `bytes=${Array.from({ length: 120 }, (_, index) => `${index * 2}-${index * 2}`).join(",")}`,
].map((range) => [range, 200])

const small = opaqueLayer(2 * KIB)
const medium = opaqueLayer(2 * MIB)
const large = opaqueLayer(9 * MIB)
const empty = opaqueLayer(0)

/** Each case its own blob, so that each is cold when it is asked for. */
const cold = (size: number, seed: number) =>
  rows(size).map(([range, expected], index): readonly [string, Expected, TestLayer] => [
    range,
    expected,
    opaqueLayer(size, seed + index),
  ])
const coldTiny = cold(2 * KIB, 100)
const coldMedium = cold(512 * KIB, 200)
const coldLarge = cold(8 * MIB + 4 * KIB, 300)

describe.each(["source", "binary"] as Mode[])("ranges from %s", (mode) => {
  let server: PullServer

  beforeAll(async () => {
    const fresh = [...coldTiny, ...coldMedium, ...coldLarge].map(([, , layer]) => layer)
    const layers = [small, medium, large, empty, ...fresh]
    server = await startPullServer({ mode, images: { a: await image({ layers }) } })
    for (const blob of [small, medium, large]) await server.warm("a", blob)
  })
  afterAll(async () => await server.stop())

  const blobPath = (digest: string) => `/v2/fixed/a/blobs/${digest}`
  const get = async ({ digest }: Content, range: string) => await server.raw("GET", blobPath(digest), { Range: range })

  function expectAnswer(answer: RawAnswer, { bytes, digest, size }: Content, expected: Expected, isStreamed = false) {
    expect([answer.status, answer.isComplete]).toEqual([typeof expected === "number" ? expected : 206, true])
    if (expected === 416) return expectNotSatisfiable(answer, size)
    const [first, last] = expected === 200 ? [0, size - 1] : expected
    const contentRange = expected === 200 ? "" : `bytes ${first}-${last}/${size}`
    expect(answer.header("content-range") ?? "").toBe(contentRange)
    if (!isStreamed) expect(answer.header("content-length")).toBe(String(last + 1 - first))
    expect(answer.body.equals(bytes.subarray(first, last + 1))).toBe(true)
    expect(answer.header("docker-content-digest")).toBe(digest)
    expect(answer.header("etag")).toBe(`"${digest}"`)
    expect(answer.header("accept-ranges")).toBe("bytes")
  }

  function expectNotSatisfiable(answer: RawAnswer, size: number) {
    expect(answer.header("content-range")).toBe(`bytes */${size}`)
    expect(answer.header("content-type")).toBe("application/json")
    expect(answer.header("content-length")).toBe(String(answer.body.byteLength))
    expect(errorsOf(answer)[0]?.code).toBe("UNSUPPORTED")
  }

  test.each([...rows(small.size), ...IGNORED])(
    "[B4] [B5] [B7] %s of a small blob in the store",
    async (range, expected) => {
      expectAnswer(await get(small, range), small, expected)
    },
  )

  test.each([...rows(medium.size), ...IGNORED])("[B4] [B5] [B7] %s of a blob in the store", async (range, expected) => {
    expectAnswer(await get(medium, range), medium, expected)
  })

  test.each(rows(large.size))("[B4] [B5] [B7] %s of a large blob in the store", async (range, expected) => {
    expectAnswer(await get(large, range), large, expected)
  })

  test.each(coldTiny)("[B4] [B5] [B7] %s of a cold small blob", async (range, expected, blob) => {
    expectAnswer(await get(blob, range), blob, expected)
  })

  test.each(coldMedium)("[B4] [B5] [B7] %s of a cold blob of at most 8 MiB", async (range, expected, blob) => {
    expectAnswer(await get(blob, range), blob, expected)
  })

  test.each(coldLarge)("[B4] [B5] [B7] %s of a cold blob of more than 8 MiB", async (range, expected, blob) => {
    expectAnswer(await get(blob, range), blob, expected, true)
  })

  test("[B5] a range that cannot be satisfied costs no request upstream", async () => {
    for (const [range, , { digest, size }] of [...coldTiny, ...coldMedium, ...coldLarge].filter(
      ([, to]) => to === 416,
    )) {
      expect([size, range, server.asked(digest)]).toEqual([size, range, 0])
    }
  })

  test("[B4] [B5] ranges of a config, which is composed and in memory", async () => {
    const whole = await server.raw("GET", "/v2/fixed/a/manifests/latest")
    const { digest, size, mediaType } = JSON.parse(whole.body.toString()).config as Content
    const bytes = (await server.raw("GET", blobPath(digest))).body
    const blob = { digest, size, mediaType, bytes: new Uint8Array(bytes) }

    expect(bytes.byteLength).toBe(size)
    for (const [range, expected] of [...rows(size).filter(([text]) => !/\.|500/.test(text)), ...IGNORED]) {
      expectAnswer(await get(blob, range), blob, expected)
    }
  })

  test.each(["bytes=0-", "bytes=0-0", "bytes=-1", "bytes=5-"])(
    "[B5] [B14] %s of an empty blob is 416",
    async (range) => {
      expectAnswer(await get(empty, range), empty, 416)
    },
  )

  test.each(["bytes=0-9", "bytes=-1", "bytes=99999999-", "bytes=0-1,3-4"])(
    "[B5] HEAD ignores Range: %s",
    async (range) => {
      for (const { digest, size } of [small, medium, large, coldLarge[4]?.[2] ?? large]) {
        const answer = await server.raw("HEAD", blobPath(digest), { Range: range })
        expect([answer.status, answer.header("content-length")]).toEqual([200, String(size)])
        expect(answer.header("content-range")).toBeNull()
      }
    },
  )

  test("[B5] manifests have ranges as blobs have", async () => {
    const whole = (await server.raw("GET", "/v2/fixed/a/manifests/latest")).body
    const part = await server.raw("GET", "/v2/fixed/a/manifests/latest", { Range: "bytes=10-19" })

    expect([part.status, part.body.toString()]).toEqual([206, whole.toString("latin1", 10, 20)])
    expect(part.header("content-range")).toBe(`bytes 10-19/${whole.byteLength}`)
  })

  test("[B6] parts that a client joins are the blob", async () => {
    const step = 1_000_003
    const parts: Buffer[] = []
    for (let start = 0; start < large.size; start += step) {
      parts.push((await get(large, `bytes=${start}-${start + step - 1}`)).body)
    }

    expect(Buffer.concat(parts).equals(large.bytes)).toBe(true)
  })
})
