import { describe, expect, test } from "bun:test"
import { existsSync, mkdirSync, renameSync, rmSync, symlinkSync, utimesSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { gunzipSync, gzipSync, zstdCompressSync, zstdDecompressSync } from "node:zlib"
import { FileLayerSource } from "../../src/layer/file.ts"
import type { Workshop } from "../../src/layer/import-layer.ts"
import { identifyFile } from "../../src/lib/file-identity.ts"
import { layer, OCI_LAYER, sha256, tar } from "../helpers/images.ts"
import { AMD64, fromSource, never, onlyLayer } from "../helpers/layers.ts"
import { tempDir } from "../helpers/temp-dir.ts"
import { until } from "../helpers/until.ts"
import { createWorkshop } from "../helpers/workshop.ts"

const FILES = { "a.txt": "a".repeat(3000) }

async function start(bytes?: Uint8Array) {
  const path = join(tempDir(), "layer.tar")
  if (bytes !== undefined) writeFileSync(path, bytes)
  const workshop = await createWorkshop()
  const source = new FileLayerSource(workshop)
  const contribute = () => source.contribute({ kind: "file", path, text: "layer.tar" }, AMD64, never)
  return { path, workshop, source, contribute, only: async () => onlyLayer(await contribute()) }
}

/** Counts how often content is read. */
function counting(workshop: Workshop): { readonly workshop: Workshop; readonly reads: () => number } {
  let reads = 0
  const openSpool: Workshop["openSpool"] = (size) => {
    reads += 1
    return workshop.openSpool(size)
  }
  return { workshop: { ...workshop, openSpool }, reads: () => reads }
}

const old = async (path: string) => await until(() => identifyFile(path)?.isYoung === false)

describe("FileLayerSource", () => {
  test.each([
    ["plain", OCI_LAYER, (bytes: Uint8Array) => bytes],
    ["gzip", `${OCI_LAYER}+gzip`, gunzipSync],
    ["zstd", `${OCI_LAYER}+zstd`, zstdDecompressSync],
  ] as const)("a %s archive is a layer of type %s", async (form, mediaType, decompress) => {
    const { bytes } = await layer(FILES, form)
    const { only, workshop } = await start(bytes)
    const { descriptor, diffID, createdBy } = await only()

    expect(descriptor as object).toEqual({ mediaType, digest: sha256(bytes), size: bytes.byteLength })
    expect(diffID as string).toBe(sha256(decompress(bytes)))
    expect(createdBy).toBe("registry-facade: file layer.tar")
    expect(Buffer.from((await workshop.kept(descriptor)) ?? []).equals(bytes)).toBe(true)
  })

  test.each([
    ["gzip members", gzipSync, "gzip"],
    ["zstd frames", zstdCompressSync, "zstd"],
  ] as const)("several %s are one layer", async (_, compress, encoding) => {
    const plain = Buffer.from(await tar(FILES))
    const bytes = Buffer.concat([compress(plain.subarray(0, 100)), compress(plain.subarray(100))])
    const { descriptor, diffID } = await (await start(bytes)).only()

    expect(diffID as string).toBe(sha256(plain))
    expect(descriptor.mediaType).toBe(`${OCI_LAYER}+${encoding}`)
  })

  test.each([
    ["text", Buffer.from("hello ".repeat(200)), "it is no tar archive"],
    ["nothing", Buffer.alloc(0), "it is no tar archive"],
    ["gzip that is cut off", gzipSync(Buffer.alloc(5000)).subarray(0, -4), ""],
  ])("refuses %s, and says of which file", async (_, bytes, reason) => {
    const { contribute } = await start(bytes)

    await expect(contribute()).rejects.toThrow(`Cannot add layer file layer.tar: ${reason}`)
  })

  test("refuses a file that is not there, and takes it once it is", async () => {
    const { contribute, path, only } = await start()

    await expect(contribute()).rejects.toThrow(`Cannot add layer file layer.tar: there is no file ${path}`)
    writeFileSync(path, await tar(FILES))
    expect((await only()).diffID as string).toBe(sha256(await tar(FILES)))
  })

  test("refuses a directory", async () => {
    const { contribute, path } = await start()
    mkdirSync(path)

    await expect(contribute()).rejects.toThrow("there is no file")
  })

  test("a file that stays is read once, also after a restart", async () => {
    const { path, workshop } = await start(await tar(FILES))
    await old(path)
    const { workshop: counted, reads } = counting(workshop)
    const request = { kind: "file", path, text: "layer.tar" } as const
    const first = new FileLayerSource(counted)
    const contributions = await Promise.all([1, 2, 3].map(() => first.contribute(request, AMD64, never)))
    const restarted = await new FileLayerSource(counted).contribute(request, AMD64, never)

    expect(reads()).toBe(1)
    expect(onlyLayer(restarted).descriptor).toEqual(onlyLayer(contributions[0] ?? null).descriptor)
  })

  test("a file that changes is a new layer, and the old one is no longer current", async () => {
    const { path, contribute } = await start(await tar(FILES))
    await old(path)
    const before = await contribute()
    expect(before.isCurrent()).toBe(true)
    writeFileSync(path, await tar({ b: "b" }))
    const after = await contribute()

    expect(before.isCurrent()).toBe(false)
    expect(onlyLayer(after).diffID as string).toBe(sha256(await tar({ b: "b" })))
    expect(onlyLayer(after).descriptor.digest).not.toBe(onlyLayer(before).descriptor.digest)
  })

  test("bytes of a changed file are never served under the old digest", async () => {
    const { path, only, workshop } = await start(await tar({ a: "one" }))
    await old(path)
    const before = await only()
    expect(sha256((await fromSource(before)) ?? "")).toBe(before.descriptor.digest)
    expect(sha256((await fromSource(before, 0)) ?? "")).toBe(before.descriptor.digest)
    writeFileSync(path, await tar({ a: "two" }))

    expect(await fromSource(before)).toBeNull()
    expect(sha256((await workshop.kept(before.descriptor)) ?? "")).toBe(before.descriptor.digest)
  })

  test("sees a file that is written again in place, with the same size, at once", async () => {
    const { path, only } = await start(await tar({ a: "0000" }))
    for (let version = 1; version < 40; version += 1) {
      const bytes = await tar({ a: String(version).padStart(4, "0") })
      writeFileSync(path, bytes)
      expect((await only()).diffID as string).toBe(sha256(bytes))
    }
  })

  test("sees a file whose time is set back", async () => {
    const { path, only } = await start(await tar({ a: "1" }))
    utimesSync(path, 1, 1)
    await old(path)
    const before = await only()
    writeFileSync(path, await tar({ a: "2" }))
    utimesSync(path, 1, 1)

    expect((await only()).diffID).not.toBe(before.diffID)
  })

  test("follows a symlink that is swapped", async () => {
    const { path, only } = await start()
    const dir = join(path, "..")
    for (const name of ["v1", "v2"]) writeFileSync(join(dir, name), await tar({ name }))
    symlinkSync("v1", path)
    const before = await only()
    symlinkSync("v2", `${path}.new`)
    renameSync(`${path}.new`, path)

    expect((await only()).diffID as string).toBe(sha256(await tar({ name: "v2" })))
    expect(before.diffID as string).toBe(sha256(await tar({ name: "v1" })))
  })

  test("what was known of the content counts for no other content of the same path", async () => {
    const { path, only, workshop } = await start(await tar({ a: "1" }))
    await old(path)
    await only()
    rmSync(path)
    writeFileSync(path, await tar({ a: "2" }))
    await old(path)
    const request = { kind: "file", path, text: "layer.tar" } as const
    const restarted = await new FileLayerSource(workshop).contribute(request, AMD64, never)

    expect(onlyLayer(restarted).diffID as string).toBe(sha256(await tar({ a: "2" })))
  })

  test("a layer outlives its file in the store", async () => {
    const { path, only, workshop } = await start(await tar(FILES))
    const { descriptor } = await only()
    rmSync(path)

    expect(existsSync(path)).toBe(false)
    expect(sha256((await workshop.kept(descriptor)) ?? "")).toBe(descriptor.digest)
  })
})
