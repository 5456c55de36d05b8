import { expect, test } from "bun:test"
import { ScanFeed } from "../../src/archive/scan-feed.ts"
import { until } from "../helpers/until.ts"

const KIB = 1024

/** A worker that gives pieces back when a test says so; memory that is sent is not ours any more, as between threads. */
function worker() {
  const sent: Uint8Array<ArrayBuffer>[] = []
  let isEnded = false
  const feed = new ScanFeed({
    post: (message, transfer = []) => {
      if (message.kind === "end") isEnded = true
      if (message.kind === "bytes") sent.push(structuredClone(message.bytes, { transfer }))
    },
    store: null,
    failed: (error) => {
      throw error
    },
  })
  const giveBack = (): Uint8Array => {
    const piece = sent.shift()
    if (piece === undefined) throw new Error("There is no piece")
    const content = piece.slice()
    feed.used(piece)
    return content
  }
  return { feed, sent, giveBack, isEnded: () => isEnded }
}

const memory = (pieces: readonly Uint8Array[]): number => pieces.reduce((sum, { buffer }) => sum + buffer.byteLength, 0)

test("small chunks take no more memory than large ones, however slow the worker is", async () => {
  const { feed, sent } = worker()
  for (let chunk = 0; chunk < 200 * KIB; chunk += 1) expect(await feed.add(new Uint8Array(1))).toBe(true)

  expect(memory(sent)).toBeLessThanOrEqual(1024 * KIB)
})

test("what comes is sent at once to a worker that has nothing to do, and in order", async () => {
  const { feed, giveBack, isEnded } = worker()
  const source = crypto.getRandomValues(new Uint8Array(60 * KIB))
  const got: Uint8Array[] = []
  for (let offset = 0; offset < source.byteLength; offset += 7 * KIB) {
    await feed.add(source.subarray(offset, offset + 7 * KIB))
    got.push(giveBack())
  }
  feed.end()

  expect([isEnded(), Buffer.concat(got).equals(source)]).toEqual([true, true])
})

test("what was kept back is sent when the worker has used what it had", async () => {
  const { feed, sent, giveBack } = worker()
  for (const byte of [1, 2, 3, 4]) await feed.add(new Uint8Array([byte]))
  const first = [giveBack(), giveBack()]

  expect([...first, ...sent].map((piece) => [...piece])).toEqual([[1], [2], [3, 4]])
})

test("a source that is faster waits, and goes on when it may, or when nothing is wanted any more", async () => {
  const { feed, sent, giveBack } = worker()
  const adding = feed.add(new Uint8Array(5 * 1024 * KIB))
  const most = 4
  await until(() => sent.length === most)
  giveBack()
  await until(() => sent.length === most)
  expect(memory(sent)).toBe(2048 * KIB)
  await feed.close()

  expect(await adding).toBe(false)
})
