import { describe, expect, test } from "bun:test"
import { gzipSync, zstdCompressSync } from "node:zlib"
import { ArchiveError } from "../../src/archive/archive-error.ts"
import { LayerIndex } from "../../src/archive/layer-index.ts"
import { scanInWorker } from "../../src/archive/scan-in-worker.ts"
import type { ScanBatch, ScanLimits } from "../../src/archive/scan-layer.ts"
import { unpackFrame } from "../../src/archive/unpack-frame.ts"
import { directory, hardlink, type RawEntry, rawEntry, rawTar, symlink } from "../helpers/tar-entries.ts"
import { readMembers } from "./read-members.ts"
import { sign } from "./sample-archives.ts"

const MIB = 1024 * 1024
const LIMITS: ScanLimits = {
  maxEntries: 1000,
  maxNameBytes: MIB,
  maxBytes: 64 * MIB,
  maxRatio: 200,
  ratioFromBytes: MIB,
}

const { signal } = new AbortController()
const stream = (bytes: Uint8Array): ReadableStream<Uint8Array> => new Blob([new Uint8Array(bytes)]).stream()

const JOB = { limits: LIMITS, isKept: true, store: null, signal, take: async () => {} } as const

async function scan(bytes: Uint8Array, limits: Partial<ScanLimits> = {}) {
  const batches: ScanBatch[] = []
  const take = async (batch: ScanBatch) => void batches.push(batch)
  const index = new LayerIndex(
    await scanInWorker({ ...JOB, stream: stream(bytes), limits: { ...LIMITS, ...limits }, take }),
  )
  return { index, batches }
}

/** An extended header and what it is for. */
const pax = (records: string, entry: RawEntry): RawEntry[] => [{ name: "pax", flag: "x", content: records }, entry]
const record = (key: string, value: string): string => {
  const rest = ` ${key}=${value}\n`
  let length = rest.length + 1
  while (String(length).length + rest.length !== length) length += 1
  return `${length}${rest}`
}
const FILE: RawEntry = { name: "f", content: "content" }

/** The header of an entry with a field written over, and a right checksum. */
function withField(at: number, value: string | readonly number[], entry: RawEntry = FILE): Uint8Array {
  const bytes = Uint8Array.from(rawEntry(entry))
  bytes.set(typeof value === "string" ? Buffer.from(value, "latin1") : value, at)
  sign(bytes, 0)
  return Buffer.concat([bytes, new Uint8Array(1024)])
}

describe("what readers do not read alike is refused", () => {
  test.each<[string, () => Uint8Array, RegExp]>([
    ["nothing", () => new Uint8Array(0), /no tar archive/],
    ["text", () => Buffer.from("hello ".repeat(200)), /header/],
    ["a wrong checksum", () => rawTar([FILE]).map((byte, at) => (at === 0 ? 0x67 : byte)), /checksum/],
    ["a file that is cut off", () => rawTar([{ ...FILE, size: 5000 }]).subarray(0, 1024), /cut off/],
    ["a header that is cut off", () => rawTar([FILE]).subarray(0, 1024 + 100), /cut off/],
    ["a size below zero", () => withField(124, [0xff, ...Array(11).fill(0xff)]), /size/],
    [
      "a size beyond what counts exactly",
      () => withField(124, [0x80, 0, 0, 0, 0x20, 0, 0, 0, 0, 0, 0, 0]),
      /too large/,
    ],
    ["a size that is no number", () => withField(124, "12x45678901\0"), /size/],
    ["a size of two numbers", () => withField(124, "12 45678901\0"), /size/],
    [
      "a name that goes on where its format has no field",
      () => withField(345, "dir\0", { ...FILE, magic: "ustar  \0" }),
      /format/,
    ],
    ["no name", () => withField(0, "\0"), /no name/],
    ["a file called like a directory", () => withField(0, "f/\0"), /called like/],
    ["a directory with content", () => rawTar([{ name: "d/", flag: "5", content: "x" }]), /content/],
    ["a symlink with content", () => rawTar([{ name: "l", flag: "2", link: "x", content: "x" }]), /content/],
    ["a sparse file", () => rawTar([{ ...FILE, flag: "S" }]), /sparse files are not/],
    ["a type nobody knows", () => rawTar([{ ...FILE, flag: "Z" }]), /not supported/],
    ["a volume label", () => rawTar([{ name: "v", flag: "V" }, FILE]), /not supported/],
    [
      "something after the first block of zeros",
      () => Buffer.concat([rawEntry(FILE), new Uint8Array(512), rawTar([FILE])]),
      /end the archive/,
    ],
    ["an extended header at the end", () => rawTar(pax("", FILE).slice(0, 1)), /no entry/],
    [
      "two extended headers",
      () => rawTar([...pax(record("path", "a"), FILE).slice(0, 1), ...pax(record("path", "b"), FILE)]),
      /two extended/,
    ],
    [
      "two long names",
      () => rawTar([{ name: "L", flag: "L", content: "long\0" }, ...pax(record("path", "b"), FILE)]),
      /two long names/,
    ],
    ["a long name without end", () => rawTar([{ name: "L", flag: "L", content: "long" }, FILE]), /no end/],
    ["a record that is too long", () => rawTar(pax("99 path=x\n", FILE)), /damaged/],
    ["a record that is too short", () => rawTar(pax("3 path=x\n", FILE)), /damaged/],
    ["a record with a leading zero", () => rawTar(pax("010 path=x\n", FILE)), /damaged/],
    ["a path with NUL", () => rawTar(pax(record("path", "a\0b"), FILE)), /no name/],
    ["an empty path", () => rawTar(pax(record("path", ""), FILE)), /no name/],
    ["an extended size below zero", () => rawTar(pax(record("size", "-1"), FILE)), /no number/],
    ["an extended size on a link", () => rawTar(pax(record("size", "512"), symlink("l", "f"))), /content/],
    [
      "a sparse file in extended headers",
      () => rawTar(pax(record("GNU.sparse.major", "1"), FILE)),
      /sparse files are not/,
    ],
    ["a global path", () => rawTar([{ name: "g", flag: "g", content: record("path", "x") }, FILE]), /global/],
    ["a global size", () => rawTar([{ name: "g", flag: "g", content: record("size", "1") }, FILE]), /global/],
    ["another character set", () => rawTar(pax(record("hdrcharset", "BINARY"), FILE)), /character set/],
  ])("%s", (_, archive, reason) => {
    expect(() => readMembers(archive())).toThrow(ArchiveError)
    expect(() => readMembers(archive())).toThrow(reason)
  })
})

describe("scanInWorker()", () => {
  test("gives entries and contents, and an index of them", async () => {
    const big = "content of a large file, ".repeat(40_000)
    const archive = rawTar([directory("d"), FILE, { name: "d/big", content: big }, hardlink("d/same", "f")])
    const layer = gzipSync(archive)
    const { index, batches } = await scan(layer)

    expect([...index.entries()].map(({ path, type, size }) => `${path} ${type} ${size}`)).toEqual([
      "d directory 0",
      `d/big file ${big.length}`,
      "d/same file 7",
      "f file 7",
    ])
    expect(batches.flatMap(({ entries }) => entries.map(({ path }) => path))).toEqual(["d", "f", "d/big", "d/same"])
    const packed = batches.flatMap(({ packed: frames }) => frames)
    const frames = index.frames.map((frame, at) => {
      const source = layer.subarray(frame.sourceOffset, frame.sourceOffset + frame.sourceBytes)
      return unpackFrame({ frame, packed: packed[at] ?? new Uint8Array(0), source })
    })
    expect(Buffer.concat(frames).equals(archive)).toBe(true)
    const { offset = 0, size = 0 } = index.find("d/big") ?? {}
    expect(archive.subarray(offset, offset + size).toString()).toBe(big)
  })

  test("hands over few entries at once, also where none has content, so that whoever takes them is never busy for long", async () => {
    const names = Array.from({ length: 9000 }, (_, at) => `d${at % 10}/f${at}`)
    const { batches } = await scan(gzipSync(rawTar(names.map((name) => ({ name })))), { maxEntries: 10_000 })

    expect(Math.max(...batches.map(({ entries }) => entries.length))).toBeLessThan(3000)
    expect(batches.flatMap(({ entries }) => entries.map(({ path }) => path))).toEqual(names)
  })

  test.each([
    ["gzip", gzipSync(rawTar([FILE]))],
    [
      "two members of gzip",
      Buffer.concat([gzipSync(rawTar([FILE]).subarray(0, 300)), gzipSync(rawTar([FILE]).subarray(300))]),
    ],
    ["zstd", zstdCompressSync(rawTar([FILE]))],
    [
      "two frames of zstd",
      Buffer.concat([
        zstdCompressSync(rawTar([FILE]).subarray(0, 300)),
        zstdCompressSync(rawTar([FILE]).subarray(300)),
      ]),
    ],
    ["no compression", rawTar([FILE])],
  ])("reads %s", async (_, bytes) => {
    expect((await scan(bytes)).index.find("f")?.size).toBe(7)
  })

  test.each<[string, Uint8Array, Partial<ScanLimits>, RegExp | null]>([
    ["gzip that is cut off", gzipSync(rawTar([FILE])).subarray(0, 60), {}, null],
    [
      "gzip with a wrong sum",
      gzipSync(rawTar([FILE])).map((byte, at, all) => (at === all.length - 6 ? byte ^ 1 : byte)),
      {},
      null,
    ],
    ["gzip with something behind it", Buffer.concat([gzipSync(rawTar([FILE])), Buffer.from("garbage")]), {}, null],
    ["zstd that is cut off", zstdCompressSync(rawTar([FILE])).subarray(0, -5), {}, null],
    ["a bomb", gzipSync(rawTar([{ name: "zeros", content: new Uint8Array(32 * MIB) }])), {}, /200 times/],
    [
      "a bomb in zstd",
      zstdCompressSync(rawTar([{ name: "zeros", content: new Uint8Array(32 * MIB) }])),
      {},
      /200 times/,
    ],
    ["too much", rawTar([{ name: "f", content: new Uint8Array(2 * MIB) }]), { maxBytes: MIB }, /more than/],
    [
      "too many entries",
      rawTar(Array.from({ length: 11 }, (_, at) => ({ name: `f${at}` }))),
      { maxEntries: 10 },
      /entries/,
    ],
    [
      "too many directories",
      rawTar(Array.from({ length: 9 }, (_, at) => ({ name: `${at}/a/b/f` }))),
      { maxEntries: 20 },
      /directories/,
    ],
    [
      "short names below links to long ones",
      rawTar([symlink("l", "d".repeat(100)), ...Array.from({ length: 9 }, (_, at) => ({ name: `l/${at}` }))]),
      { maxNameBytes: 1000 },
      /names/,
    ],
    [
      "too many names",
      rawTar(Array.from({ length: 11 }, (_, at) => ({ name: `f${at}` }))),
      { maxNameBytes: 10 },
      /names/,
    ],
    ["a name that no system takes", rawTar(pax(record("path", "x".repeat(256)), FILE)), {}, /255 bytes/],
    ["a path that no system takes", rawTar(pax(record("path", `${"xx/".repeat(1400)}f`), FILE)), {}, /4096 bytes/],
    ["a path that is deeper than any", rawTar(pax(record("path", `${"x/".repeat(256)}f`), FILE)), {}, /256 parts/],
    [
      "a target that no system takes",
      rawTar(pax(record("linkpath", "x/".repeat(2049)), symlink("l", "x"))),
      {},
      /4096 bytes/,
    ],
    [
      "an extended header that is too large",
      rawTar([{ name: "pax", flag: "x", content: new Uint8Array(2 * MIB) }, FILE]),
      {},
      /extended header/,
    ],
    ["a second name for a directory", rawTar([directory("d"), hardlink("l", "d")]), {}, /directory/],
    [
      "entries below links that multiply",
      rawTar([...Array.from({ length: 60 }, (_, at) => symlink(`l${at}`, `l${at + 1}`)), { name: "l0/f" }]),
      {},
      /symlinks/,
    ],
    ["a file in place of the root", rawTar([{ name: "./", flag: "0" }]), {}, /directory/],
    ["a link in place of the root", rawTar([symlink(".", "/etc")]), {}, /root/],
  ])("refuses %s", async (_, bytes, limits, reason) => {
    const failure = await scan(bytes, limits).catch((error) => error)

    expect(failure).toBeInstanceOf(ArchiveError)
    if (reason !== null) expect(failure.message).toMatch(reason)
  })

  test("ends when its stream fails, with the stream's own error", async () => {
    const failure = new Error("the upstream is gone")
    const broken = new ReadableStream<Uint8Array>({ pull: (controller) => controller.error(failure) })

    await expect(scanInWorker({ ...JOB, stream: broken })).rejects.toBe(failure)
  })

  test("ends when it is told to, also while nothing comes", async () => {
    const left = new AbortController()
    let isCancelled = false
    const silent = new ReadableStream<Uint8Array>({
      pull: () => new Promise(() => {}),
      cancel: () => {
        isCancelled = true
      },
    })
    const scanning = scanInWorker({ ...JOB, stream: silent, signal: left.signal })
    const reason = new Error("nobody wants it")
    left.abort(reason)

    await expect(scanning).rejects.toBe(reason)
    expect(isCancelled).toBe(true)
  })

  test("ends when what it finds cannot be kept", async () => {
    const failure = new Error("no room")
    const noise = crypto.getRandomValues(new Uint8Array(65_536))
    const content = Buffer.concat(Array.from({ length: 64 }, () => noise))

    await expect(
      scanInWorker({
        ...JOB,
        stream: stream(rawTar([{ name: "f", content }])),
        take: () => Promise.reject(failure),
      }),
    ).rejects.toBe(failure)
  })

  test("takes nothing any more when it has ended, so that what takes can be closed", async () => {
    const noise = crypto.getRandomValues(new Uint8Array(65_536))
    const layer = gzipSync(rawTar([{ name: "f", content: Buffer.concat(Array.from({ length: 400 }, () => noise)) }]))
    const left = new AbortController()
    const taking = Promise.withResolvers<void>()
    const gate = Promise.withResolvers<void>()
    const order: string[] = []
    const take = async () => {
      taking.resolve()
      await gate.promise
      for (let turn = 0; turn < 50; turn += 1) await new Promise(setImmediate)
      order.push("taken")
    }
    const scanning = scanInWorker({ ...JOB, stream: stream(layer), signal: left.signal, take })
    const ended = scanning.catch((error) => {
      order.push("ended")
      return error
    })
    await taking.promise
    const reason = new Error("nobody wants it")
    left.abort(reason)
    gate.resolve()

    expect(await ended).toBe(reason)
    for (let turn = 0; turn < 500; turn += 1) await new Promise(setImmediate)
    expect(order).toEqual(["taken", "ended"])
  })

  test("has the layer stored, each part before what is found in it", async () => {
    const layer = gzipSync(rawTar([{ name: "f", content: crypto.getRandomValues(new Uint8Array(65_536)).toHex() }]))
    const stored: Uint8Array[] = []
    const foundEarly: number[] = []
    const store = async (piece: Uint8Array) => {
      await new Promise(setImmediate)
      stored.push(piece.slice())
    }
    const take = async ({ frames }: ScanBatch) => {
      const there = stored.reduce((sum, { byteLength }) => sum + byteLength, 0)
      const early = frames.filter(({ sourceBytes, sourceOffset }) => sourceOffset + sourceBytes > there)
      foundEarly.push(...early.map(({ start }) => start))
    }
    await scanInWorker({ ...JOB, stream: stream(layer), store, take })

    expect(foundEarly).toEqual([])
    expect(Buffer.concat(stored).equals(layer)).toBe(true)
  })

  test("ends when the layer cannot be stored, and stores nothing any more then", async () => {
    const failure = new Error("no room")
    let calls = 0
    const store = () => {
      calls += 1
      return Promise.reject(failure)
    }
    const layer = crypto.getRandomValues(new Uint8Array(2 * MIB))

    await expect(scanInWorker({ ...JOB, stream: stream(layer), store })).rejects.toBe(failure)
    expect(calls).toBe(1)
  })

  test("holds no more of a bomb in memory than of anything else", async () => {
    const bomb = gzipSync(rawTar([{ name: "zeros", content: new Uint8Array(256 * MIB) }]))
    Bun.gc(true)
    const before = process.memoryUsage.rss()

    await scan(bomb, { maxBytes: 1024 * MIB, maxRatio: 2000 })

    expect(process.memoryUsage.rss() - before).toBeLessThan(96 * MIB)
  }, 20_000)
})
