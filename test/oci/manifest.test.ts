import { describe, expect, test } from "bun:test"
import { digestOf } from "../../src/oci/digest.ts"
import { MAX_MANIFEST_BYTES, manifestBlob, parseManifest } from "../../src/oci/manifest.ts"
import { DOCKER_INDEX, DOCKER_MANIFEST, OCI_CONFIG, OCI_INDEX, OCI_MANIFEST } from "../../src/oci/media-type.ts"

const DIGEST = `sha256:${"1".repeat(64)}`
const LAYER = { mediaType: "application/vnd.oci.image.layer.v1.tar", digest: DIGEST, size: 7 }
const CONFIG = { mediaType: OCI_CONFIG, digest: DIGEST, size: 2 }
const ENTRY = { mediaType: OCI_MANIFEST, digest: DIGEST, size: 3 }
const IMAGE = { schemaVersion: 2, config: CONFIG, layers: [LAYER] }
const INDEX = { schemaVersion: 2, manifests: [ENTRY] }

const encoded = (value: unknown) => new TextEncoder().encode(typeof value === "string" ? value : JSON.stringify(value))
const read = (value: unknown, header: string | null = null) => parseManifest(manifestBlob(encoded(value), header))

describe("manifestBlob()", () => {
  test.each([
    ["the document's own type", { ...IMAGE, mediaType: OCI_MANIFEST }, null, OCI_MANIFEST],
    [
      "a header that says the same with parameters",
      { ...IMAGE, mediaType: DOCKER_MANIFEST },
      `${DOCKER_MANIFEST}; charset=utf-8`,
      DOCKER_MANIFEST,
    ],
    [
      "the document against a header that says nothing",
      { ...INDEX, mediaType: DOCKER_INDEX },
      "application/json",
      DOCKER_INDEX,
    ],
    ["the header where the document is silent", INDEX, DOCKER_INDEX, DOCKER_INDEX],
    ["the shape where both are silent: an image", IMAGE, "application/octet-stream", OCI_MANIFEST],
    ["the shape where both are silent: an index", INDEX, null, OCI_INDEX],
    ["null as if it were absent", { ...IMAGE, mediaType: null }, null, OCI_MANIFEST],
  ] as [string, unknown, string | null, string][])("takes %s", (_, value, header, expected) => {
    const bytes = encoded(value)

    expect(manifestBlob(bytes, header)).toEqual({
      descriptor: { mediaType: expected, digest: digestOf(bytes), size: bytes.byteLength },
      bytes,
    })
  })

  test.each([
    [
      "both kinds of content, typed as an image",
      { ...IMAGE, ...INDEX, mediaType: OCI_MANIFEST },
      null,
      "an image and an index at once",
    ],
    [
      "both kinds of content, typed as an index",
      { ...IMAGE, ...INDEX, mediaType: OCI_INDEX },
      null,
      "an image and an index at once",
    ],
    ["both kinds of content, untyped", { ...IMAGE, ...INDEX }, null, "an image and an index at once"],
    ["manifests beside a config alone", { ...INDEX, config: CONFIG }, null, "an image and an index at once"],
    ["empty manifests beside layers", { ...IMAGE, manifests: [] }, null, "an image and an index at once"],
    ["layers in an index", { mediaType: OCI_INDEX, layers: [LAYER] }, null, "an index has no layers"],
    ["a config in an index", { mediaType: OCI_INDEX, config: CONFIG }, null, "an index has no layers"],
    ["manifests in an image", { ...INDEX, mediaType: OCI_MANIFEST }, null, "an image manifest has no manifests"],
    ["an image announced as an index", IMAGE, OCI_INDEX, "an index has no layers"],
    ["an index announced as an image", INDEX, OCI_MANIFEST, "an image manifest has no manifests"],
    [
      "an image typed otherwise than announced",
      { ...IMAGE, mediaType: OCI_MANIFEST },
      OCI_INDEX,
      "but it was announced as",
    ],
    [
      "the same kind in another family",
      { ...IMAGE, mediaType: OCI_MANIFEST },
      DOCKER_MANIFEST,
      "but it was announced as",
    ],
    ["a second spelling of a key", { ...IMAGE, Layers: [LAYER] }, null, 'its key "Layers" could be read in two ways'],
    ["a wrong spelling of a key alone", { schemaVersion: 2, Manifests: [ENTRY] }, null, 'its key "Manifests" could be'],
    ["a type that is no text", { ...IMAGE, mediaType: [OCI_INDEX] }, null, "its mediaType is no text"],
    ["another type", { ...IMAGE, mediaType: "application/json" }, null, '"application/json" is not supported'],
    [
      "schema 1, signed",
      { schemaVersion: 1, fsLayers: [], signatures: [] },
      null,
      "schema 1 manifests are not supported",
    ],
    [
      "schema 1 by its header",
      { schemaVersion: 1, fsLayers: [] },
      "application/vnd.docker.distribution.manifest.v1+prettyjws",
      "schema 1 manifests are not supported",
    ],
    [
      "schema 1 without signatures",
      { schemaVersion: 1, fsLayers: [] },
      "application/json",
      "schema 1 manifests are not supported",
    ],
    ["a list", [IMAGE], null, "expected a JSON object"],
    ["a web page", "<html></html>", null, "JSON"],
    ["a duplicate key", '{"layers":[],"layers":[]}', null, 'the key "layers" stands twice'],
  ] as [string, unknown, string | null, string][])("refuses %s", (_, value, header, reason) => {
    expect(() => manifestBlob(encoded(value), header)).toThrow(reason)
  })

  test("refuses what is larger than clients accept, before it is parsed", () => {
    expect(() => manifestBlob(new Uint8Array(MAX_MANIFEST_BYTES + 1), null)).toThrow("it is larger than 4194304 bytes")
  })
})

describe("parseManifest()", () => {
  test("reads an image with what its descriptors say", () => {
    const annotated = { ...LAYER, annotations: { a: "b" }, urls: ["https://x.io"] }
    const image = read({ ...IMAGE, layers: [annotated], artifactType: "x/y" })

    expect(image).toMatchObject({
      kind: "manifest",
      artifactType: "x/y",
      config: { descriptor: CONFIG },
      layers: [{ descriptor: { ...LAYER, annotations: { a: "b" } } }],
    })
  })

  test("reads an index with its platforms", () => {
    const platform = { os: "linux", architecture: "arm64", variant: "v8", "os.version": "1" }
    const index = read({
      ...INDEX,
      manifests: [{ ...ENTRY, platform }, ENTRY, { ...ENTRY, platform: { os: "linux" } }],
    })

    expect(index.kind === "index" ? index.manifests.map(({ descriptor }) => descriptor.platform ?? null) : []).toEqual([
      { os: "linux", architecture: "arm64", variant: "v8" },
      null,
      null,
    ])
  })

  test.each([
    ["no layers", { ...IMAGE, layers: [] }],
    ["null for layers, as Go prints an empty list", { ...IMAGE, layers: null }],
    ["null for annotations", { ...IMAGE, annotations: null, layers: [{ ...LAYER, annotations: null }] }],
    ["unknown members", { ...IMAGE, foo: { Layers: [] } }],
  ])("accepts %s", (_, value) => {
    expect(read(value).kind).toBe("manifest")
  })

  test.each([
    ["size as a text", { ...LAYER, size: "7" }, '"layers[0].size" is no count of bytes'],
    ["a negative size", { ...LAYER, size: -1 }, '"layers[0].size" is no count of bytes'],
    ["a broken size", { ...LAYER, size: 1.5 }, '"layers[0].size" is no count of bytes'],
    ["no size", { ...LAYER, size: undefined }, '"layers[0].size" is no count of bytes'],
    ["a short digest", { ...LAYER, digest: "sha256:abc" }, "expected 64 hexadecimal characters, got 3"],
    ["a path for a digest", { ...LAYER, digest: "sha256:../../etc" }, "Cannot parse digest"],
    ["no digest", { ...LAYER, digest: undefined }, "Cannot parse digest"],
    ["no media type", { ...LAYER, mediaType: undefined }, '"layers[0].mediaType" is no media type'],
    [
      "a media type that breaks headers",
      { ...LAYER, mediaType: "a/b\r\nx: y" },
      '"layers[0].mediaType" is no media type',
    ],
    ["null", null, '"layers[0]" is no object'],
    ["a text", "x", '"layers[0]" is no object'],
  ])("refuses a layer with %s", (_, layer, reason) => {
    expect(() => read({ ...IMAGE, layers: [layer] })).toThrow(reason)
  })

  test.each([
    [{ ...IMAGE, layers: {} }, '"layers" is no list'],
    [{ ...IMAGE, layers: "x" }, '"layers" is no list'],
    [{ ...INDEX, manifests: 5 }, '"manifests" is no list'],
    [{ layers: [] }, "it has no config"],
    [{ config: null, layers: [] }, '"config" is no object'],
  ])("refuses %j", (value, reason) => {
    expect(() => read(value)).toThrow(reason)
  })

  test("refuses more entries than any image has", () => {
    expect(() => read({ ...INDEX, manifests: Array(4097).fill(ENTRY) })).toThrow(
      '"manifests" has more than 4096 entries',
    )
  })

  test("a size beyond 2^53 is refused instead of rounded", () => {
    const text = JSON.stringify({ ...IMAGE, layers: [{ ...LAYER, size: 1 }] }).replace(
      '"size":1}',
      '"size":9007199254740993}',
    )

    expect(() => read(text)).toThrow('"layers[0].size" is no count of bytes')
  })
})
