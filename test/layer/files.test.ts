import { describe, expect, test } from "bun:test"
import { FilesLayerSource } from "../../src/layer/files.ts"
import { readTar } from "../helpers/archives.ts"
import { OCI_LAYER, sha256 } from "../helpers/images.ts"
import { AMD64, fromSource, never, onlyLayer } from "../helpers/layers.ts"
import { createWorkshop, type TestWorkshop } from "../helpers/workshop.ts"

async function contribute(files: Readonly<Record<string, string>>, workshop?: TestWorkshop) {
  const source = new FilesLayerSource(workshop ?? (await createWorkshop()))
  const text = Object.keys(files).join(" ")
  return onlyLayer(
    await source.contribute({ kind: "files", files: new Map(Object.entries(files)), text }, AMD64, never),
  )
}

describe("FilesLayerSource", () => {
  test("writes the files in a fixed order, without times and owners", async () => {
    const workshop = await createWorkshop()
    const layer = await contribute({ "/etc/motd": "hello", "b/ä": "größe", a: "" }, workshop)
    const bytes = (await workshop.kept(layer.descriptor)) ?? new Uint8Array()

    expect(layer.descriptor.mediaType).toBe(OCI_LAYER)
    expect(layer.diffID as string).toBe(sha256(bytes))
    expect(layer.diffID as string).toBe(layer.descriptor.digest)
    expect(await readTar(bytes)).toEqual([
      { name: "a", type: "file", mode: 0o644, content: "" },
      { name: "b/ä", type: "file", mode: 0o644, content: "größe" },
      { name: "etc/motd", type: "file", mode: 0o644, content: "hello" },
    ])
  })

  test("the order in which a spec names them makes no difference to the bytes", async () => {
    const one = await contribute({ "/a": "1", "/b": "2" })
    const other = await contribute({ "/b": "2", a: "1" })

    expect(one.descriptor).toEqual(other.descriptor)
  })

  test("the same bytes can be made again from any offset", async () => {
    const workshop = await createWorkshop()
    const layer = await contribute({ a: "a".repeat(2000), b: "b" }, workshop)
    const bytes = Buffer.from((await workshop.kept(layer.descriptor)) ?? [])

    for (const offset of [0, 1, 511, 512, 1000, bytes.byteLength - 1]) {
      expect(bytes.subarray(offset).equals((await fromSource(layer, offset)) ?? new Uint8Array())).toBe(true)
    }
  })

  test("other content under the same paths is another layer of the same source", async () => {
    const source = new FilesLayerSource(await createWorkshop())
    const digests = []
    for (const content of ["1", "2", "1"]) {
      const files = new Map([["a", content]])
      digests.push(onlyLayer(await source.contribute({ kind: "files", files, text: "a" }, AMD64, never)).diffID)
    }

    expect(new Set(digests).size).toBe(2)
    expect(digests[0]).toBe(digests[2] as (typeof digests)[0])
  })
})
