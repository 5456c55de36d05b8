import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import type { Fault } from "../chaos/faults.ts"
import { blobPath, type FaultyFacade, startFaultyFacade } from "../helpers/faulty-facade.ts"
import { resetAfter, type Step, status } from "../helpers/faulty-upstream.ts"
import { image, opaqueLayer, type TestLayer } from "../helpers/images.ts"

setDefaultTimeout(30_000)

const MIB = 1024 * 1024
/** More than what is verified before its first byte leaves. */
const LARGE = 9 * MIB

interface Row {
  readonly name: string
  readonly steps: readonly Step[]
  /** Ranges that the upstream is asked for: null is all of it, ">" from some place in the middle on. */
  readonly asked: readonly (string | null)[]
}

const shownRange = (range: string | null): string | null => (/^bytes=[1-9]\d*-$/.test(range ?? "") ? ">" : range)
const once = (fault: Fault): Row["steps"] => [{ fault, place: 0.6 }]
const resumed = [null, ">"] as const

const ROWS: readonly Row[] = [
  { name: "A1: a reset before the first byte is asked again", steps: ["rst-before"], asked: [null, null] },
  { name: "A2: an end that comes too early goes on where it was", steps: once("fin-early"), asked: resumed },
  { name: "A2: a chunk that is cut goes on where it was", steps: once("chunk-cut"), asked: resumed },
  { name: "A2: chunks without a last one go on where they were", steps: once("last-chunk-missing"), asked: resumed },
  {
    name: "A2: an end of the connection that pretends to be the end of the blob goes on where it was",
    steps: once("close-delimited-cut"),
    asked: resumed,
  },
  {
    name: "A2: a Content-Length that is too short is not believed, the blob's size is",
    steps: once("short-length"),
    asked: [null, null],
  },
  {
    name: "A5: an upstream that ignores Range when resuming is read from the start, nothing is twice",
    steps: [...once("fin-early"), "range-ignored"],
    asked: resumed,
  },
  {
    name: "A6: an upstream that lies about the range when resuming is asked for everything",
    steps: [...once("fin-early"), { fault: "range-lie", place: 0.3 }],
    asked: [null, ">", null],
  },
  {
    name: "A6: an upstream that sends several parts when resuming is asked for everything",
    steps: [...once("fin-early"), "multipart-range"],
    asked: [null, ">", null],
  },
  {
    name: "A7: an upstream that answers 416 when resuming is asked for everything",
    steps: [...once("fin-early"), status(416)],
    asked: [null, ">", null],
  },
  {
    name: "A-6: a source that fails twice is opened exactly three times",
    steps: [status(500), status(500)],
    asked: [null, null, null],
  },
  {
    name: "A-7: a source that breaks after five bytes gives the whole blob exactly once",
    steps: [{ fault: "fin-early", place: 5.5 / LARGE }],
    asked: [null, "any"],
  },
]

describe("a transfer that breaks", () => {
  const blobs = ROWS.map((_, index) => opaqueLayer(LARGE, index))
  const ranged = opaqueLayer(LARGE, 100)
  const reset = opaqueLayer(LARGE, 102)
  const small = opaqueLayer(700_000, 101)
  let server: FaultyFacade

  beforeAll(async () => {
    const layers: TestLayer[] = [...blobs, ranged, reset, small]
    server = await startFaultyFacade({ images: { a: await image({ layers }) } })
  })
  afterAll(async () => await server.stop())

  test.each(ROWS.map((row, index) => [row.name, row, index] as const))("%s", async (_, { steps, asked }, index) => {
    const blob = blobs[index]
    if (blob === undefined) throw new Error("There is a blob for every row")
    server.upstream.plan(blob.digest, ...steps)
    const { status, body } = await server.pull(blob)

    expect([status, body?.equals(blob.bytes)]).toEqual([200, true])
    const ranges = server.upstream.asked(blob.digest).map(({ range }) => range)
    const shown = ranges.map((range, place) => (asked[place] === "any" ? "any" : shownRange(range)))
    expect(shown).toEqual([...asked])
  })

  test("A1: a reset in the middle goes on where it was, and again, and the client notices nothing", async () => {
    const [first, second] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    const { upstream, facade } = server
    const resumes = await server.metric("upstream_resumes_total")
    upstream.plan(reset.digest, resetAfter(0, 4 * MIB, first.promise), async (request, connection, content) => {
      const start = Number(/^bytes=(\d+)-$/.exec(request.headers.get("range") ?? "")?.[1])
      return await resetAfter(start, 8 * MIB, second.promise)(request, connection, content)
    })
    const response = await facade.get(blobPath("a", reset.digest))
    const chunks: Uint8Array[] = []
    let received = 0
    for await (const chunk of response.body ?? []) {
      chunks.push(chunk)
      received += chunk.byteLength
      if (received > 1 * MIB) first.resolve()
      if (received > 5 * MIB) second.resolve()
    }
    const starts = upstream
      .asked(reset.digest)
      .map(({ range }) => Number(/^bytes=(\d+)-$/.exec(range ?? "bytes=0-")?.[1]))

    expect(Buffer.concat(chunks).equals(reset.bytes)).toBe(true)
    expect(starts.map((start) => Math.min(5, Math.floor(start / MIB)))).toEqual([0, expect.any(Number), 5])
    expect(starts[1]).toBeGreaterThan(1 * MIB)
    expect(await server.metric("upstream_resumes_total")).toBe(resumes + 2)
  })

  test("D-5: a client that asked for a range does not notice that the upstream was cut at 60 %", async () => {
    const start = 2 * MIB + 1
    server.upstream.plan(ranged.digest, { fault: "fin-early", place: 0.6 })
    const { status, headers, body } = await server.pull(ranged, { headers: { range: `bytes=${start}-` } })

    expect([status, headers.get("content-range")]).toEqual([206, `bytes ${start}-${LARGE - 1}/${LARGE}`])
    expect(body?.equals(ranged.bytes.subarray(start))).toBe(true)
    // What had arrived together with the end may have to be sent again
    const [, resumed] = server.upstream.asked(ranged.digest)
    const from = Number(/^bytes=(\d+)-$/.exec(resumed?.range ?? "")?.[1])
    expect([from > start, from <= 0.6 * LARGE]).toEqual([true, true])
    expect(server.upstream.asked(ranged.digest).length).toBe(2)
  })

  test("A1: a small blob that is reset has its length as if nothing had been", async () => {
    server.upstream.plan(small.digest, { fault: "rst", place: 0.5 }, { fault: "fin-early", place: 0.9 })
    const { status, headers, body } = await server.pull(small)

    expect([status, headers.get("content-length"), body?.equals(small.bytes)]).toEqual([200, String(small.size), true])
  })
})
