import { describe, expect, test } from "bun:test"
import type { OpenSpool } from "../../src/blob/spool.ts"
import { DirectLayerSource } from "../../src/layer/direct.ts"
import { HeldContent } from "../../src/layer/held-content.ts"
import { layer, sha256 } from "../helpers/images.ts"
import { AMD64, fromSource, never, onlyLayer } from "../helpers/layers.ts"
import { createWorkshop } from "../helpers/workshop.ts"

const contribute = async (content: Uint8Array<ArrayBuffer>) =>
  onlyLayer(
    await new DirectLayerSource(await createWorkshop()).contribute(
      { kind: "direct", content, text: "content" },
      AMD64,
      never,
    ),
  )

describe("DirectLayerSource", () => {
  test.each(["plain", "gzip", "zstd"] as const)("%s content is a layer of its true type", async (form) => {
    const expected = await layer({ a: "a".repeat(2000) }, form)
    const found = await contribute(expected.bytes)

    expect(found.descriptor as object).toEqual({
      mediaType: expected.mediaType,
      digest: expected.digest,
      size: expected.size,
    })
    expect(found.diffID as string).toBe(expected.diffID)
    expect(sha256((await fromSource(found)) ?? "")).toBe(expected.digest)
    expect(found.createdBy).toBe("registry-facade: content")
  })

  test("plain content has its digest for a diffID, as the original's did", async () => {
    const { descriptor, diffID } = await contribute((await layer({ a: "a" }, "plain")).bytes)

    expect(diffID as string).toBe(descriptor.digest)
  })

  test.each([
    ["nothing", ""],
    ["text", "hello ".repeat(200)],
  ])("refuses %s", async (_, text) => {
    await expect(contribute(new Uint8Array(Buffer.from(text)))).rejects.toThrow(
      "Cannot add layer content: it is no tar archive",
    )
  })

  test("many who ask for one content at once write it once", async () => {
    const workshop = await createWorkshop()
    let opened = 0
    const openSpool: OpenSpool = async (size) => {
      opened += 1
      return await workshop.openSpool(size)
    }
    const source = new DirectLayerSource({ ...workshop, openSpool })
    const { bytes: content, digest } = await layer({ a: "a".repeat(2000) }, "plain")
    const found = await Promise.all(
      Array.from({ length: 20 }, () => source.contribute({ kind: "direct", content, text: "content" }, AMD64, never)),
    )

    expect(opened).toBe(1)
    expect(new Set(found.map((one) => onlyLayer(one).descriptor.digest as string))).toEqual(new Set([digest]))
  })

  test("is in the store, and in memory up to a limit; what was pushed out is asked for anew", async () => {
    const workshop = await createWorkshop()
    const source = new DirectLayerSource(workshop, new HeldContent(6000))
    const ask = async ({ bytes }: { bytes: Uint8Array<ArrayBuffer> }) =>
      await source.contribute({ kind: "direct", content: bytes, text: "content" }, AMD64, never)
    const [one, other] = [await layer({ a: "1" }, "plain"), await layer({ a: "2" }, "plain")]
    const first = await ask(one)
    expect([first.isCurrent(), await workshop.kept(onlyLayer(first).descriptor)]).toEqual([true, one.bytes])

    for (const more of [other, await layer({ a: "3" }, "plain"), await layer({ a: "4" }, "plain")]) await ask(more)
    expect(first.isCurrent()).toBe(false)
    expect(await fromSource(onlyLayer(first))).toBeNull()

    const again = await ask(one)
    expect([again.isCurrent(), await fromSource(onlyLayer(again))]).toEqual([true, one.bytes])
  })

  test("stays what it is", async () => {
    const source = new DirectLayerSource(await createWorkshop())
    const { bytes } = await layer({ a: "a" })
    const request = { kind: "direct", content: bytes, text: "content" } as const
    const contribution = await source.contribute(request, AMD64, never)

    expect(contribution.isCurrent()).toBe(true)
    expect(contribution.env).toEqual([])
    expect(onlyLayer(await source.contribute(request, AMD64, never)).descriptor).toEqual(
      onlyLayer(contribution).descriptor,
    )
  })
})
