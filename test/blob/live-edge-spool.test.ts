import { describe, expect, test } from "bun:test"
import { withLiveEdge } from "../../src/blob/live-edge-spool.ts"
import type { Spool } from "../../src/blob/spool.ts"
import { giveBack } from "../../src/lib/sole-bytes.ts"
import type { Descriptor } from "../../src/oci/descriptor.ts"
import { opaqueLayer, sha256 } from "../helpers/images.ts"

const { bytes } = opaqueLayer(1000)
const piece = (index: number) => bytes.subarray(index * 100, index * 100 + 100)
const DESCRIPTOR = { digest: sha256(bytes), size: bytes.byteLength, mediaType: "a/b" } as Descriptor

/** A spool over an array that notes where it was read. */
function memorySpool() {
  let content = Buffer.alloc(0)
  const reads: number[] = []
  const spool: Spool = {
    isWindow: false,
    write: async (more) => {
      content = Buffer.concat([content, more])
    },
    read: async (offset, length) => {
      reads.push(offset)
      return content.subarray(offset, offset + length)
    },
    advance: () => {},
    reset: async () => {
      content = Buffer.alloc(0)
    },
    keep: async (descriptor) => ({ kind: "file", descriptor, path: "/kept" }),
    close: async () => {},
  }
  return { spool, reads }
}

async function written(pieces: number) {
  const { spool, reads } = memorySpool()
  const edge = await withLiveEdge(async () => spool)(bytes.byteLength)
  for (let index = 0; index < pieces; index += 1) await edge.write(piece(index))
  return { edge, reads }
}

describe("withLiveEdge()", () => {
  test("what has just arrived is read from memory, and not copied", async () => {
    const { edge, reads } = await written(5)

    for (const [offset, length, expected] of [
      [499, 1, 1],
      [450, 20, 20],
      [350, 1000, 50],
      [400, 100, 100],
    ] as const) {
      const read = await edge.read(offset, length)
      expect(Buffer.from(read)).toEqual(Buffer.from(bytes.subarray(offset, offset + expected)))
      expect(read.buffer).toBe(bytes.buffer)
    }
    expect(reads).toEqual([])
  })

  test("what came before is read from the spool, so that memory does not grow with the blob", async () => {
    const { edge, reads } = await written(9)

    for (let offset = 0; offset < 700; offset += 100) {
      expect(Buffer.from(await edge.read(offset, 100))).toEqual(Buffer.from(piece(offset / 100)))
    }
    expect(reads).toEqual([0, 100, 200, 300, 400, 500, 600])
  })

  test("what readers share is nobody's to give back", async () => {
    const { edge } = await written(1)
    giveBack(await edge.read(0, 100))

    expect(Buffer.from(await edge.read(0, 100))).toEqual(Buffer.from(piece(0)))
  })

  test("after a reset, nothing of the wrong bytes is left", async () => {
    const { edge, reads } = await written(3)
    await edge.reset()
    await edge.write(piece(7))

    expect(Buffer.from(await edge.read(0, 100))).toEqual(Buffer.from(piece(7)))
    expect(reads).toEqual([])
  })

  test("once the blob is kept, nothing is held in memory", async () => {
    const { edge, reads } = await written(10)

    expect(await edge.keep(DESCRIPTOR)).toEqual({ kind: "file", descriptor: DESCRIPTOR, path: "/kept" })
    expect(Buffer.from(await edge.read(999, 1))).toEqual(Buffer.from(bytes.subarray(999)))
    expect(reads).toEqual([999])
  })
})
