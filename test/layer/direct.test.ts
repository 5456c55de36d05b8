import { describe, expect, test } from "bun:test"
import { DirectLayerSource } from "../../src/layer/direct.ts"
import { layer, sha256 } from "../helpers/images.ts"
import { AMD64, fromSource, never, onlyLayer } from "../helpers/layers.ts"

const contribute = async (content: Uint8Array<ArrayBuffer>, source = new DirectLayerSource()) =>
  onlyLayer(await source.contribute({ kind: "direct", content, text: "content" }, AMD64, never))

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

  test("stays what it is", async () => {
    const source = new DirectLayerSource()
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
