import { describe, expect, test } from "bun:test"
import { ImageLayerSource } from "../../src/layer/image.ts"
import { parsePlatform } from "../../src/oci/platform.ts"
import { parseRegistryReference } from "../../src/oci/reference.ts"
import { type ImageOptions, image, index, layer, platform, type TestImage, type TestIndex } from "../helpers/images.ts"
import { AMD64, never } from "../helpers/layers.ts"
import { memoryImages } from "../helpers/memory-images.ts"

const TEXT = "x.io/addon:1"
const SKIP = "skip-n.registry-facade.gitpod.io"
const layers = async (count: number) =>
  await Promise.all([...Array(count).keys()].map((number) => layer({ [`file-${number}`]: `${number}` })))

function start(addon: TestImage | TestIndex) {
  const reader = memoryImages()
  reader.addImage(TEXT, addon)
  const source = new ImageLayerSource(reader)
  const request = { kind: "image", reference: parseRegistryReference(TEXT), text: TEXT } as const
  return {
    reader,
    contribute: (wanted = AMD64 as ReturnType<typeof parsePlatform>) => source.contribute(request, wanted, never),
  }
}
const contribute = async (options: ImageOptions) => await start(await image(options)).contribute()

describe("ImageLayerSource", () => {
  test("A-21: gives all layers with their diffIDs in order, and what the environment asks for", async () => {
    const five = await layers(5)
    const settings = {
      Env: [
        "PATH=/usr/local/bin:/usr/bin",
        "GITPOD_ENV_APPEND_PATH=/ide/bin:",
        "GITPOD_ENV_SET_EDITOR=code",
        "GITPOD_ENV_SET_VISUAL=code",
        "GITPOD_ENV_SET_GIT_EDITOR=code --wait",
      ],
    }
    const found = await contribute({ layers: five, settings })

    expect(found?.layers.map(({ descriptor, diffID }) => ({ ...descriptor, diffID }) as object)).toEqual(
      five.map(({ mediaType, digest, size, diffID }) => ({ mediaType, digest, size, diffID })),
    )
    expect(found?.env).toEqual([
      { op: "before", name: "PATH", value: "/ide/bin:", separator: "" },
      { op: "set", name: "EDITOR", value: "code" },
      { op: "set", name: "VISUAL", value: "code" },
      { op: "set", name: "GIT_EDITOR", value: "code --wait" },
    ])
  })

  test("A-22: an image of eight layers whose plain variables do not count", async () => {
    const settings = { Env: ["GITPOD_BUILT_IN_PLUGINS=/x", "GITPOD_ENV_SET_EDITOR=gp open -w"] }
    const found = await contribute({ layers: await layers(8), settings })

    expect(found?.layers).toHaveLength(8)
    expect(found?.env).toEqual([{ op: "set", name: "EDITOR", value: "gp open -w" }])
  })

  test.each([
    ["0", [0, 1]],
    ["1", [1]],
    ["2", []],
    ["10", []],
    ["65535", []],
    ["01", [1]],
  ])("A-23, A-24: label %s leaves the first layers out", async (label, expected) => {
    const two = await layers(2)
    const found = await contribute({
      layers: two,
      settings: { Labels: { [SKIP]: label }, Env: ["GITPOD_ENV_SET_A=1"] },
    })

    expect(found?.layers.map(({ diffID }) => diffID as string)).toEqual(
      expected.map((number) => two[number]?.diffID ?? ""),
    )
    expect(found?.env).toHaveLength(1)
  })

  test.each(["-10", "not-a-number", "", "1.5", "0x1", "65536", " 1", "99999999999999999999"])(
    "A-25, A-26: label %j makes the image unusable",
    async (label) => {
      await expect(contribute({ settings: { Labels: { [SKIP]: label } } })).rejects.toThrow(
        `Cannot add layer image ${TEXT}: its label ${SKIP} is ${JSON.stringify(label)}, expected a number from 0 to 65535`,
      )
    },
  )

  test("a wrong label of one image leaves others usable", async () => {
    const reader = memoryImages()
    reader.addImage("x.io/bad:1", await image({ settings: { Labels: { [SKIP]: "x" } } }))
    reader.addImage("x.io/good:1", await image())
    const source = new ImageLayerSource(reader)
    const ask = (text: string) =>
      source.contribute({ kind: "image", reference: parseRegistryReference(text), text }, AMD64, never)

    await expect(ask("x.io/bad:1")).rejects.toThrow("its label")
    expect((await ask("x.io/good:1"))?.layers).toHaveLength(1)
  })

  test("annotations of a layer stay, what else its descriptor says does not", async () => {
    const [one] = await layers(1)
    const { mediaType, digest, size } = one ?? (await layer({}))
    const annotations = { "io.github.containers.zstd-chunked.manifest-position": "1:2" }
    const manifest = { layers: [{ mediaType, digest, size, annotations, urls: ["https://x"], data: "e30=" }] }
    const found = await contribute({ layers: one === undefined ? [] : [one], manifest })

    expect(found?.layers[0]?.descriptor as object).toEqual({ mediaType, digest, size, annotations })
  })

  test("its layers come from where the image is", async () => {
    const [found] = (await contribute({}))?.layers ?? []

    expect(found?.sources).toMatchObject([{ name: "image", origin: TEXT }])
    expect(found?.createdBy).toBe(`registry-facade: image ${TEXT}`)
  })
})

describe("ImageLayerSource with many platforms", () => {
  const attestation = { "vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": "x" }
  const variants = async () => {
    const [amd64, arm64, armv6, armv7] = await Promise.all(
      [["amd64"], ["arm64", "v8"], ["arm", "v6"], ["arm", "v7"]].map(async ([architecture = "", variant]) => {
        const own = [await layer({ platform: `${architecture}/${variant}` })]
        return await image({ architecture, layers: own, ...(variant === undefined ? {} : { variant }) })
      }),
    )
    if (amd64 === undefined || arm64 === undefined || armv6 === undefined || armv7 === undefined)
      throw new Error("none")
    return { amd64, arm64, armv6, armv7 }
  }

  test("D-1: the platform counts, not the order; attestations are no images", async () => {
    const { amd64, arm64, armv6, armv7 } = await variants()
    const all = index([
      [await image({ layers: [] }), { platform: { os: "unknown", architecture: "unknown" }, annotations: attestation }],
      [await image({ layers: [] }), { ...platform("amd64"), artifactType: "application/vnd.in-toto+json" }],
      [arm64, platform("arm64", "v8")],
      [amd64, platform("amd64")],
      [armv6, platform("arm", "v6")],
      [armv7, platform("arm", "v7")],
    ])
    const { contribute: ask } = start(all)
    const chosen = async (text: string) => (await ask(parsePlatform(text)))?.layers[0]?.diffID ?? null
    const expected = (one: TestImage) => one.layers[0]?.diffID as never

    expect(await chosen("linux/amd64")).toBe(expected(amd64))
    expect(await chosen("linux/amd64/v3")).toBe(expected(amd64))
    expect(await chosen("linux/arm64")).toBe(expected(arm64))
    expect(await chosen("linux/arm")).toBe(expected(armv7))
    expect(await chosen("linux/arm/v6")).toBe(expected(armv6))
    expect(await chosen("linux/arm/v5")).toBeNull()
    expect(await chosen("linux/s390x")).toBeNull()
    expect(await chosen("windows/amd64")).toBeNull()
  })

  test("an index without platforms is asked for those of its configs", async () => {
    const { amd64, arm64 } = await variants()
    const { contribute: ask } = start(
      index([
        [arm64, {}],
        [amd64, {}],
      ]),
    )

    expect((await ask())?.layers[0]?.diffID as string).toBe(amd64.layers[0]?.diffID ?? "")
  })

  test("a single image that fits has layers, another has none", async () => {
    const { contribute: ask } = start(await image({ architecture: "arm64" }))

    expect(await ask(parsePlatform("linux/arm64"))).not.toBeNull()
    expect(await ask(parsePlatform("linux/amd64"))).toBeNull()
  })

  test("nested indexes are read in their order, but not without end", async () => {
    const { amd64 } = await variants()
    const nest = (inner: TestIndex): TestIndex => {
      const outer = index([[{ manifest: inner.index } as TestImage, {}]])
      return {
        ...outer,
        images: [{ manifest: inner.index, config: inner.index, layers: [], blobs: [] }, ...inner.images],
      }
    }
    let nested = index([[amd64, platform("amd64")]])
    for (let depth = 1; depth < 4; depth += 1) nested = nest(nested)

    expect((await start(nested).contribute())?.layers).toHaveLength(1)
    await expect(start(nest(nested)).contribute()).rejects.toThrow("its indexes are nested deeper than 4")
  })

  test("the upstream's answer is asked for each time, the rest is remembered by digest", async () => {
    const { reader, contribute: ask } = start(await image())
    const first = await ask()

    expect(await ask()).toBe(first)
    expect(reader.asked).toEqual([TEXT, TEXT])
    expect(first?.isCurrent()).toBe(true)
    reader.fresh = false
    expect(first?.isCurrent()).toBe(false)
    reader.addImage(TEXT, await image({ layers: [] }))
    expect((await ask())?.layers).toEqual([])
  })
})

describe("images that cannot be added", () => {
  test.each([
    [
      "fewer diff_ids than layers",
      { config: { rootfs: { type: "layers", diff_ids: [] } } },
      "it has 1 layer but 0 diff_ids",
    ],
    [
      "an artifact",
      { manifest: { artifactType: "application/x" } },
      "it is no image that can run, its kind is application/x",
    ],
    [
      "a config of another kind",
      {
        manifest: {
          config: {
            mediaType: "application/vnd.cncf.helm.config.v1+json",
            digest: `sha256:${"1".repeat(64)}`,
            size: 2,
          },
        },
      },
      "its kind is application/vnd.cncf.helm.config.v1+json",
    ],
    [
      "a config that tells no platform",
      { config: { os: undefined } },
      "is not valid: it does not tell its os and architecture",
    ],
    ["a broken rootfs", { config: { rootfs: { type: "x" } } }, 'is not valid: its rootfs.type is "x"'],
    ["a broken manifest", { manifest: { layers: [{}] } }, 'is not valid: "layers[0].mediaType" is no media type'],
  ] as [string, ImageOptions, string][])("%s", async (_, options, reason) => {
    await expect(contribute(options)).rejects.toThrow(`Cannot use image ${TEXT}: `)
    await expect(contribute(options)).rejects.toThrow(reason)
  })

  test("a foreign layer may not be handed on", async () => {
    const foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
    const one = { ...(await layer({ a: "a" })), mediaType: foreign }

    await expect(contribute({ layers: [one] })).rejects.toThrow(`layer 0 may not be distributed: ${foreign}`)
  })
})
