import { describe, expect, test } from "bun:test"
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { openAt } from "../../src/blob/blob.ts"
import { readBytes } from "../../src/lib/stream.ts"
import { parseDigest } from "../../src/oci/digest.ts"
import { parseReference, parseRegistryReference } from "../../src/oci/reference.ts"
import { LayoutUpstream } from "../../src/upstream/layout-upstream.ts"
import type { StoredReference } from "../../src/upstream/upstream.ts"
import {
  type Content,
  descriptor,
  image,
  index,
  layer,
  OCI_INDEX,
  platform,
  sha256,
  type TestImage,
} from "../helpers/images.ts"
import { never } from "../helpers/layers.ts"
import { tempDir } from "../helpers/temp-dir.ts"

const REF_NAME = "org.opencontainers.image.ref.name"

/** A layout with these images, each with what index.json says of it. */
function writeLayout(images: readonly (readonly [TestImage, object])[], extra: readonly Content[] = []): string {
  const dir = tempDir()
  mkdirSync(join(dir, "blobs/sha256"), { recursive: true })
  const contents = [...images.flatMap(([one]) => [one.manifest, ...one.blobs]), ...extra]
  for (const { digest, bytes } of contents) writeFileSync(join(dir, "blobs/sha256", digest.slice(7)), bytes)
  writeFileSync(join(dir, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}')
  const manifests = images.map(([one, more]) => ({ ...descriptor(one.manifest), ...more }))
  writeFileSync(join(dir, "index.json"), JSON.stringify({ schemaVersion: 2, manifests }))
  return dir
}

function stored(text: string): StoredReference {
  const reference = parseReference(text)
  if (reference.kind === "scratch") throw new Error("no layout")
  return reference
}
const upstream = new LayoutUpstream()
const resolve = async (text: string) => (await upstream.resolve(stored(text)))?.descriptor ?? null
const named = (name: string) => ({ annotations: { [REF_NAME]: name } })
const imageOf = async (name: string) => await image({ layers: [await layer({ name })] })
const images = async () => await Promise.all([imageOf("one"), imageOf("two")])

describe("LayoutUpstream", () => {
  test("without a tag a layout means its only image, named or not", async () => {
    const [one] = await images()

    for (const more of [{}, named("v1")]) {
      const dir = writeLayout([[one, more]])
      expect((await resolve(`oci:${dir}`)) as object).toEqual(descriptor(one.manifest))
    }
  })

  test("a tag chooses by name", async () => {
    const [one, two] = await images()
    const dir = writeLayout([
      [one, named("v1")],
      [two, named("v2")],
    ])

    expect((await resolve(`oci:${dir}:v1`))?.digest as string).toBe(one.manifest.digest)
    expect((await resolve(`oci:${dir}:v2`))?.digest as string).toBe(two.manifest.digest)
    expect(await resolve(`oci:${dir}:v3`)).toBeNull()
  })

  test("a digest chooses any manifest, listed or not", async () => {
    const [one, two] = await images()
    const dir = writeLayout([[one, {}]], [two.manifest])
    const reference = stored(`oci:${dir}@${two.manifest.digest}`)
    const found = await upstream.manifest(reference, parseDigest(two.manifest.digest))

    expect(found?.descriptor.digest as string).toBe(two.manifest.digest)
    expect(await upstream.manifest(reference, parseDigest(sha256("x")))).toBeNull()
  })

  test("several named images need a tag, and are told", async () => {
    const [one, two] = await images()
    const dir = writeLayout([
      [one, named("v1")],
      [two, named("v2")],
    ])

    await expect(resolve(`oci:${dir}`)).rejects.toThrow(
      `Cannot read oci:${dir}: it holds several images, say which one with oci:DIR:<tag>: v1, v2`,
    )
  })

  test("several unnamed images are the platforms of one", async () => {
    const [one, two] = await images()
    const dir = writeLayout([
      [one, platform("amd64")],
      [two, platform("arm64")],
    ])

    expect(await resolve(`oci:${dir}`)).toMatchObject({ mediaType: OCI_INDEX })
  })

  test("an index inside is read as one", async () => {
    const [one] = await images()
    const multi = index([[one, platform("amd64")]])
    const dir = writeLayout([[{ ...one, manifest: multi.index, blobs: [] }, {}]], [one.manifest, ...one.blobs])

    expect(await resolve(`oci:${dir}`)).toMatchObject({ mediaType: OCI_INDEX, digest: multi.index.digest })
  })

  test("an empty layout has no image", async () => {
    expect(await resolve(`oci:${writeLayout([])}`)).toBeNull()
  })

  const BROKEN = "the directory is no OCI image layout, its file oci-layout is missing or broken"
  test.each([
    ["no oci-layout", (dir: string) => rmSync(join(dir, "oci-layout")), BROKEN],
    ["an empty oci-layout", (dir: string) => writeFileSync(join(dir, "oci-layout"), ""), BROKEN],
    ["another oci-layout", (dir: string) => writeFileSync(join(dir, "oci-layout"), "{}"), BROKEN],
    ["nothing at all", (dir: string) => rmSync(dir, { recursive: true }), BROKEN],
    ["no index.json", (dir: string) => rmSync(join(dir, "index.json")), "its file index.json is missing"],
    [
      "a torn index.json",
      (dir: string) => writeFileSync(join(dir, "index.json"), '{"mani'),
      "its file index.json is broken",
    ],
    [
      "an image for an index.json",
      (dir: string) => writeFileSync(join(dir, "index.json"), '{"layers":[]}'),
      "its file index.json is broken",
    ],
    [
      "an index.json that is too large",
      (dir: string) => writeFileSync(join(dir, "index.json"), " ".repeat(4 * 1024 * 1024 + 1)),
      "is larger than 4194304 bytes",
    ],
    [
      "a directory for an index.json",
      (dir: string) => {
        rmSync(join(dir, "index.json"))
        mkdirSync(join(dir, "index.json"))
      },
      "EISDIR",
    ],
  ] as [string, (dir: string) => void, string][])("with %s is refused", async (_, damage, reason) => {
    const [one] = await images()
    const dir = writeLayout([[one, {}]])
    damage(dir)

    await expect(resolve(`oci:${dir}`)).rejects.toThrow(`Cannot read oci:${dir}: `)
    await expect(resolve(`oci:${dir}`)).rejects.toThrow(reason)
  })

  test("a manifest with other bytes than its digest is refused, one that is missing is not there", async () => {
    const [one] = await images()
    const dir = writeLayout([[one, {}]])
    const file = join(dir, "blobs/sha256", one.manifest.digest.slice(7))
    writeFileSync(file, "{}")

    await expect(resolve(`oci:${dir}`)).rejects.toThrow(`the file of ${one.manifest.digest} holds other bytes`)
    rmSync(file)
    expect(await resolve(`oci:${dir}`)).toBeNull()
  })

  test("follows changes of the layout", async () => {
    const [one, two] = await images()
    const dir = writeLayout([[one, {}]], [two.manifest])
    await resolve(`oci:${dir}`)
    writeFileSync(join(dir, "index.json"), JSON.stringify({ schemaVersion: 2, manifests: [descriptor(two.manifest)] }))

    expect((await resolve(`oci:${dir}`))?.digest as string).toBe(two.manifest.digest)
  })

  test("has no images of registries", async () => {
    await expect(upstream.resolve(parseRegistryReference("x.io/a:1"))).rejects.toThrow(
      "Cannot read x.io/a:1 from a layout",
    )
  })
})

describe("blobs of a layout", () => {
  test("are read from any offset, if they have their size", async () => {
    const one = await image()
    const [content] = one.layers
    if (content === undefined) throw new Error("none")
    const dir = writeLayout([[one, {}]])
    const [source] = upstream.blobs(stored(`oci:${dir}`))
    const wanted = { ...content, digest: parseDigest(content.digest) }
    const blob = await source?.find(wanted, never)
    if (blob === null || blob === undefined) throw new Error("not found")

    expect(
      Buffer.from(await readBytes(await openAt(blob, 7, never), content.size)).equals(content.bytes.subarray(7)),
    ).toBe(true)
    expect(await source?.find({ ...wanted, size: 1 }, never)).toBeNull()
    expect(await source?.find({ ...wanted, digest: parseDigest(sha256("x")) }, never)).toBeNull()
    expect(source).toMatchObject({ name: "upstream", origin: `oci:${dir}` })
  })

  test("may be links, as tools share them between layouts", async () => {
    const one = await image()
    const dir = writeLayout([[one, {}]])
    const other = tempDir()
    symlinkSync(join(dir, "blobs"), join(other, "blobs"))
    for (const name of ["oci-layout", "index.json"]) symlinkSync(join(dir, name), join(other, name))

    expect((await resolve(`oci:${other}`))?.digest as string).toBe(one.manifest.digest)
  })
})
