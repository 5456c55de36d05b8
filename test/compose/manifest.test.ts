import { describe, expect, test } from "bun:test"
import { type Additions, composeImage } from "../../src/compose/compose.ts"
import { MAX_CONFIG_BYTES } from "../../src/oci/config.ts"
import { digestOf } from "../../src/oci/digest.ts"
import { addedLayer, type BaseOptions, baseImage, NO_EDIT } from "../helpers/base-image.ts"
import { DOCKER_CONFIG, DOCKER_LAYER, DOCKER_MANIFEST, OCI_CONFIG, OCI_LAYER, OCI_MANIFEST } from "../helpers/images.ts"

const DOCKER_TAR = "application/vnd.docker.image.rootfs.diff.tar"
const FOREIGN = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
const compose = (base: BaseOptions, additions: Partial<Additions> = {}) =>
  composeImage(baseImage(base), { layers: [], edit: NO_EDIT, annotations: {}, ...additions })
const text = (base: BaseOptions, additions?: Partial<Additions>) =>
  new TextDecoder().decode(compose(base, additions).manifest.bytes)
const parsed = (base: BaseOptions, additions?: Partial<Additions>) => JSON.parse(text(base, additions))
const typesOf = (manifest: { layers: { mediaType: string }[] }) => manifest.layers.map(({ mediaType }) => mediaType)
const descriptorText = (mediaType: string, extra = "") =>
  `{"mediaType":"${mediaType}","digest":"${digestOf("x")}","size":5${extra}}`

describe("composeImage()", () => {
  test("takes tens of thousands of labels, variables and annotations before anybody loses patience", () => {
    const names = Array.from({ length: 40_000 }, (_, index) => `k${index}`)
    const labels = Object.fromEntries(names.map((name) => [name, "v"]))
    const env = names.map((name) => ({ op: "set", name, value: "v" }) as const)
    const { manifest, config } = compose({}, { edit: { ...NO_EDIT, labels, env }, annotations: labels })
    const settings = JSON.parse(new TextDecoder().decode(config.bytes)).config

    expect(Object.keys(JSON.parse(new TextDecoder().decode(manifest.bytes)).annotations)).toHaveLength(40_000)
    expect(Object.keys(settings.Labels)).toHaveLength(40_000)
    expect(settings.Env.slice(-2)).toEqual(["k39998=v", "k39999=v"])
  })

  test("describes its documents by their bytes", () => {
    const { manifest, config } = compose({}, { layers: [addedLayer("a")] })
    const { config: pointer } = JSON.parse(new TextDecoder().decode(manifest.bytes))

    expect(manifest.descriptor).toEqual({
      mediaType: OCI_MANIFEST,
      digest: digestOf(manifest.bytes),
      size: manifest.bytes.byteLength,
    })
    expect(pointer).toEqual({ mediaType: OCI_CONFIG, digest: digestOf(config.bytes), size: config.bytes.byteLength })
  })

  test("prints compactly, without byte order mark and newline", () => {
    expect(text({ manifest: '"layers": [ ]\n' })).toMatch(/^\{"schemaVersion":2,"mediaType":"[^ \n]*\}$/)
  })

  test("adds layers behind those of the base, with what is known of them", () => {
    const annotated = { ...addedLayer("b"), descriptor: { ...addedLayer("b").descriptor, annotations: { toc: "x" } } }
    const { layers } = parsed({ layers: 2 }, { layers: [addedLayer("a"), annotated] })

    expect(layers.slice(2)).toEqual([addedLayer("a").descriptor, annotated.descriptor])
    expect(layers).toHaveLength(4)
  })

  test.each([
    // base family, added type, manifest type, config type, types of the layers
    ["oci", `${OCI_LAYER}+gzip`, OCI_MANIFEST, OCI_CONFIG, [`${OCI_LAYER}+gzip`, `${OCI_LAYER}+gzip`]],
    ["oci", OCI_LAYER, OCI_MANIFEST, OCI_CONFIG, [`${OCI_LAYER}+gzip`, OCI_LAYER]],
    ["oci", `${OCI_LAYER}+zstd`, OCI_MANIFEST, OCI_CONFIG, [`${OCI_LAYER}+gzip`, `${OCI_LAYER}+zstd`]],
    ["oci", DOCKER_LAYER, OCI_MANIFEST, OCI_CONFIG, [`${OCI_LAYER}+gzip`, `${OCI_LAYER}+gzip`]],
    ["docker", `${OCI_LAYER}+gzip`, DOCKER_MANIFEST, DOCKER_CONFIG, [DOCKER_LAYER, DOCKER_LAYER]],
    ["docker", OCI_LAYER, DOCKER_MANIFEST, DOCKER_CONFIG, [DOCKER_LAYER, DOCKER_TAR]],
    ["docker", DOCKER_LAYER, DOCKER_MANIFEST, DOCKER_CONFIG, [DOCKER_LAYER, DOCKER_LAYER]],
    ["docker", `${OCI_LAYER}+zstd`, OCI_MANIFEST, OCI_CONFIG, [`${OCI_LAYER}+gzip`, `${OCI_LAYER}+zstd`]],
    ["docker", `${DOCKER_TAR}.zstd`, OCI_MANIFEST, OCI_CONFIG, [`${OCI_LAYER}+gzip`, `${OCI_LAYER}+zstd`]],
  ] as ["oci" | "docker", string, string, string, string[]][])(
    "never mixes families: %s base with %s",
    (family, added, manifestType, configType, layers) => {
      const composed = compose({ family }, { layers: [addedLayer("a", added)] })
      const manifest = JSON.parse(new TextDecoder().decode(composed.manifest.bytes))

      expect(composed.manifest.descriptor.mediaType).toBe(manifestType)
      expect(composed.config.descriptor.mediaType).toBe(configType)
      expect(manifest.mediaType).toBe(manifestType)
      expect(manifest.config.mediaType).toBe(configType)
      expect(typesOf(manifest)).toEqual(layers)
    },
  )

  test("layers of another family in the base are given the names of its family", () => {
    const manifest = `"layers":[${descriptorText(DOCKER_LAYER)},${descriptorText(DOCKER_TAR)}]`

    expect(typesOf(parsed({ manifest }))).toEqual([`${OCI_LAYER}+gzip`, OCI_LAYER])
  })

  test.each(["application/vnd.erofs.layer.v1", `${OCI_LAYER}+gzip+encrypted`])(
    "a base layer of type %s stays as it is",
    (mediaType) => {
      expect(typesOf(parsed({ manifest: `"layers":[${descriptorText(mediaType)}]` }))).toEqual([mediaType])
    },
  )

  test("a Docker manifest always tells its type, an OCI manifest only if it did", () => {
    expect(parsed({ family: "docker", manifest: '"mediaType":null' }).mediaType).toBe(DOCKER_MANIFEST)
    expect(parsed({ manifest: '"mediaType":null' }, { layers: [addedLayer("a")] }).mediaType).toBeNull()
  })

  test("URLs of layers are dropped, but those of foreign layers are where these are", () => {
    const urls = ',"urls":["https://internal/x"]'
    const manifest = `"layers":[${descriptorText(DOCKER_LAYER, urls)},${descriptorText(FOREIGN, urls)}]`
    const { layers } = parsed({ family: "docker", manifest })

    expect(layers.map(({ urls: found }: { urls?: string[] }) => found ?? null)).toEqual([null, ["https://internal/x"]])
  })

  test("what a base layer's descriptor says besides is kept, with its spelling", () => {
    const extra = ',"annotations":{"io.github.containers.zstd-chunked.manifest-position":"1:2","10":"x"},"odd":1.50'
    const manifest = `"layers":[${descriptorText(`${OCI_LAYER}+zstd`, extra)}]`

    expect(text({ manifest })).toContain(descriptorText(`${OCI_LAYER}+zstd`, extra))
  })

  test("a config that is embedded or elsewhere is neither any more", () => {
    const config = `"config":{"mediaType":"${OCI_CONFIG}","data":"e30=","digest":"${digestOf("{}")}","size":2,"urls":["https://x"],"annotations":{"a":"b"}}`
    const { config: pointer } = parsed({ manifest: config }, { layers: [addedLayer("a")] })

    expect(Object.keys(pointer)).toEqual(["mediaType", "digest", "size", "annotations"])
    expect(pointer.digest).not.toBe(digestOf("{}"))
  })

  test("the result is no referrer of what the base refers to", () => {
    const manifest = `"subject":${descriptorText(OCI_MANIFEST)},"artifactType":"application/x"`

    expect(parsed({ manifest })).not.toContainAnyKeys(["subject", "artifactType"])
  })

  test("annotations are added to those of the base, and win", () => {
    const manifest = '"annotations":{"10":"ten","a":"base","org.opencontainers.image.title":"t"}'

    expect(text({ manifest }, { annotations: { a: "new", b: "x" } })).toContain(
      '"annotations":{"10":"ten","a":"new","org.opencontainers.image.title":"t","b":"x"}',
    )
    expect(parsed({})).not.toHaveProperty("annotations")
    expect(parsed({ manifest: '"annotations":null' }, { annotations: { a: "b" } }).annotations).toEqual({ a: "b" })
  })

  test("unknown members survive where they stood", () => {
    const manifest = '"x":9007199254740993,"layers":[],"__proto__":{"y":1},"10":1,"2":2'

    expect(text({ manifest, layers: 0 })).toEndWith(`,${manifest}}`)
  })

  test("refuses a result that is larger than clients accept", () => {
    const config = `"history":[{"comment":"${"x".repeat(MAX_CONFIG_BYTES - 500)}"}]`

    expect(() => compose({ config })).not.toThrow()
    expect(() => compose({ config }, { edit: { ...NO_EDIT, user: "u".repeat(500) } })).toThrow(
      `bytes, clients accept ${MAX_CONFIG_BYTES}`,
    )
  })
})
