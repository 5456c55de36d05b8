import { describe, expect, test } from "bun:test"
import { Composer } from "../../src/facade/composer.ts"
import { parseDigest } from "../../src/oci/digest.ts"
import { parsePlatform } from "../../src/oci/platform.ts"
import { parseSpec } from "../../src/spec/parse.ts"
import { createLogger } from "../../src/telemetry/log.ts"
import { byTrust } from "../helpers/by-trust.ts"
import { type ImageOptions, image, index, layer, platform, type TestImage, type TestIndex } from "../helpers/images.ts"
import { layerSources } from "../helpers/layer-sources.ts"
import { never } from "../helpers/layers.ts"
import { memoryImages } from "../helpers/memory-images.ts"
import { silentLogger } from "../helpers/silent-logger.ts"

interface Setup {
  /** By reference. */
  readonly images: Readonly<Record<string, TestImage | TestIndex>>
  readonly staticLayers?: readonly object[]
  readonly defaultPlatform?: string
}

async function start({ images, staticLayers = [], defaultPlatform = "linux/amd64" }: Setup) {
  const reader = memoryImages()
  for (const [reference, one] of Object.entries(images)) reader.addImage(reference, one)
  const layers = await layerSources(reader)
  const logs: Record<string, unknown>[] = []
  const composer = new Composer({
    readers: byTrust(reader),
    layers: byTrust(layers),
    staticLayers: parseSpec({ baseRef: "scratch", layers: staticLayers }, null).layers,
    staticSources: layers,
    defaultPlatform: parsePlatform(defaultPlatform),
    log: createLogger({
      format: "json",
      version: "",
      level: () => "info",
      write: (line) => void logs.push(JSON.parse(line)),
    }),
  })
  return { reader, logs, compose: async (spec: unknown) => await composer.compose(parseSpec(spec, null), never) }
}

const BASE = "x.io/base:1"
const of = async (architecture: string, options: ImageOptions = {}) =>
  await image({ architecture, layers: [await layer({ architecture })], ...options })
const parsed = (document: { readonly bytes: Uint8Array }) => JSON.parse(new TextDecoder().decode(document.bytes))
const architectures = (root: { readonly bytes: Uint8Array }) =>
  parsed(root).manifests.map(({ platform: one }: { platform: { architecture: string } }) => one.architecture)

describe("Composer", () => {
  test("C-8: base, static layers, ide, supervisor, ide layers, layers, content: in this order, nothing twice or missing", async () => {
    const names = ["static", "ide", "supervisor", "ide-layer-1", "ide-layer-2", "tool"]
    const added = await Promise.all(
      names.map(async (name) => [`x.io/${name}:1`, await of("amd64", { layers: [await layer({ name })] })] as const),
    )
    const base = await of("amd64")
    const { compose } = await start({
      images: { [BASE]: base, ...Object.fromEntries(added) },
      staticLayers: [{ image: "x.io/static:1" }, { image: "x.io/supervisor:1" }],
    })
    const direct = await layer({ content: "c" }, "plain")
    const { root, platforms } = await compose({
      baseRef: BASE,
      ideRef: "x.io/ide:1",
      supervisorRef: "x.io/supervisor:1",
      ideLayerRef: ["x.io/ide-layer-1:1", "x.io/ide-layer-2:1"],
      contentLayer: [{ direct: { content: Buffer.from(direct.bytes).toString("base64") } }],
      layers: [{ image: "x.io/tool:1" }],
    })
    const digestOf = (name: string) =>
      added.find(([reference]) => reference === `x.io/${name}:1`)?.[1].layers[0]?.digest
    const config = platforms[0]?.config ?? root

    expect(parsed(root).layers.map(({ digest }: { digest: string }) => digest)).toEqual([
      base.layers[0]?.digest,
      ...["static", "supervisor", "ide", "supervisor", "ide-layer-1", "ide-layer-2", "tool"].map(digestOf),
      direct.digest,
    ])
    expect(parsed(config).rootfs.diff_ids).toHaveLength(9)
    expect(parsed(config).history).toHaveLength(9)
  })

  test("a blob that the base and added images have in common can be had from all of them, once each", async () => {
    const common = await layer({ common: "1" })
    const both = async (name: string) =>
      index([
        [await of("amd64", { layers: [common, await layer({ name })] }), platform("amd64")],
        [await of("arm64", { layers: [common, await layer({ name })] }), platform("arm64")],
      ])
    const { compose } = await start({
      images: { [BASE]: await both("base"), "x.io/one:1": await both("one"), "x.io/two:1": await both("two") },
    })
    const { blobs } = await compose({ baseRef: BASE, layers: [{ image: "x.io/one:1" }, { image: "x.io/two:1" }] })
    const entry = blobs.get(parseDigest(common.digest))

    expect(entry?.sources.map(({ origin }) => origin)).toEqual([BASE, "x.io/one:1", "x.io/two:1"])
    expect(entry?.from).toBe("x.io/base")
  })

  test("the environment is changed by static images, then by those of the spec, and last by the spec", async () => {
    const asking = async (value: string) =>
      await of("amd64", { settings: { Env: [`GITPOD_ENV_APPEND_PATH=${value}:`] } })
    const { compose } = await start({
      images: {
        [BASE]: await of("amd64", { settings: { Env: ["PATH=/base"] } }),
        "x.io/static:1": await asking("/static"),
        "x.io/ide:1": await asking("/ide"),
      },
      staticLayers: [{ image: "x.io/static:1" }],
    })
    const env = { prependPath: { PATH: "/spec" }, set: { A: "1" } }
    const { platforms } = await compose({ baseRef: BASE, ideRef: "x.io/ide:1", config: { env } })

    expect(parsed(platforms[0]?.config ?? { bytes: new Uint8Array() }).config.Env).toEqual([
      "PATH=/spec:/ide:/static:/base",
      "A=1",
    ])
  })

  test("an index stays one, without the platforms that an added image lacks", async () => {
    const all = await Promise.all(["arm64", "amd64", "s390x"].map((one) => of(one)))
    const { compose } = await start({
      images: {
        [BASE]: index(all.map((one, number) => [one, platform(["arm64", "amd64", "s390x"][number] ?? "")])),
        "x.io/tool:1": index(all.slice(0, 2).map((one, number) => [one, platform(["arm64", "amd64"][number] ?? "")])),
      },
    })
    const { root, single, documents } = await compose({ baseRef: BASE, layers: [{ image: "x.io/tool:1" }] })

    expect(architectures(root)).toEqual(["arm64", "amd64"])
    expect(single?.descriptor.digest as string).toBe(parsed(root).manifests[1].digest)
    for (const { digest } of parsed(root).manifests) {
      const manifest = documents.get(digest)
      expect(manifest).toBeDefined()
      expect(documents.has(parsed(manifest ?? root).config.digest)).toBe(true)
    }
  })

  test("platforms of the spec are the only ones, and what is not there is told", async () => {
    const { compose } = await start({
      images: {
        [BASE]: index([
          [await of("amd64"), platform("amd64")],
          [await of("arm64"), platform("arm64", "v8")],
        ]),
      },
    })

    expect(architectures((await compose({ baseRef: BASE, platforms: ["linux/arm64"] })).root)).toEqual(["arm64"])
    await expect(compose({ baseRef: BASE, platforms: ["linux/s390x"] })).rejects.toMatchObject({
      code: "MANIFEST_UNKNOWN",
      message: `Cannot compose on ${BASE}: it has no platform linux/s390x, available: linux/amd64, linux/arm64`,
    })
  })

  test("a single image that an added image does not fit to is refused", async () => {
    const { compose } = await start({ images: { [BASE]: await of("s390x"), "x.io/tool:1": await of("amd64") } })

    await expect(compose({ baseRef: BASE, ideRef: "x.io/tool:1" })).rejects.toMatchObject({ code: "MANIFEST_UNKNOWN" })
    expect((await compose({ baseRef: BASE })).single).not.toBeNull()
  })

  test("a platform that is broken is left out with a warning, but all of them are an error", async () => {
    const good = await of("amd64")
    const broken = await of("arm64", { config: { rootfs: { type: "layers", diff_ids: [] } } })
    const entries = (...images: TestImage[]) =>
      index(images.map((one) => [one, platform(one === good ? "amd64" : "arm64")]))
    const { compose, logs } = await start({
      images: { [BASE]: entries(broken, good), "x.io/broken:1": entries(broken) },
    })

    expect(architectures((await compose({ baseRef: BASE })).root)).toEqual(["amd64"])
    expect(logs).toMatchObject([{ level: "warning", message: "leaving a platform out", base: BASE }])
    await expect(compose({ baseRef: "x.io/broken:1" })).rejects.toThrow("it has 1 layer but 0 diff_ids")
  })

  test("an index of attestations alone has no image", async () => {
    const annotations = { "vnd.docker.reference.type": "attestation-manifest" }
    const unknown = { platform: { os: "unknown", architecture: "unknown" }, annotations }
    const { compose } = await start({ images: { [BASE]: index([[await of("amd64"), unknown]]) } })

    await expect(compose({ baseRef: BASE })).rejects.toMatchObject({ code: "MANIFEST_UNKNOWN" })
  })

  test.each([
    ["linux/arm64", 1],
    ["linux/amd64", 0],
    ["linux/s390x", null],
  ])("clients that take no index on %s get the manifest that fits, or none", async (defaultPlatform, expected) => {
    const base = index([
      [await of("amd64"), platform("amd64")],
      [await of("arm64"), platform("arm64")],
    ])
    const { compose } = await start({ images: { [BASE]: base }, defaultPlatform })
    const { root, single } = await compose({ baseRef: BASE })

    expect(single?.descriptor.digest ?? null).toBe(expected === null ? null : parsed(root).manifests[expected].digest)
  })

  test("C-4: annotations tell the base and the sum of its layers' sizes", async () => {
    const layers = await Promise.all([layer({ a: "a" }), layer({ b: "b" })])
    const base = await of("amd64", { layers })
    const { compose } = await start({ images: { [BASE]: base, "docker.io/library/alpine:latest": base } })
    const annotations = async (spec: unknown) => parsed((await compose(spec)).root).annotations

    expect(await annotations({ baseRef: "alpine", layers: [{ files: { a: "a" } }], annotations: { x: "y" } })).toEqual({
      "io.gitpod.workspace-image.size": String(layers.reduce((sum, { size }) => sum + size, 0)),
      "io.gitpod.workspace-image.ref": "alpine",
      "org.opencontainers.image.base.name": "docker.io/library/alpine:latest",
      "org.opencontainers.image.base.digest": base.manifest.digest,
      x: "y",
    })
  })

  test("is current as long as everything that it is made of is", async () => {
    const { compose, reader } = await start({ images: { [BASE]: await of("amd64"), "x.io/tool:1": await of("amd64") } })
    const { isCurrent } = await compose({ baseRef: BASE, ideRef: "x.io/tool:1" })

    expect(isCurrent()).toBe(true)
    reader.fresh = false
    expect(isCurrent()).toBe(false)
  })
})

describe("specs of others", () => {
  test("C4: are read with a reach of their own, static layers with the operator's, and what was read says so", async () => {
    const reading = async (images: Readonly<Record<string, TestImage>>) => {
      const reader = { ...memoryImages(), isStale: () => true }
      for (const [reference, one] of Object.entries(images)) reader.addImage(reference, one)
      return { reader, layers: await layerSources(reader) }
    }
    const named = async (name: string) => await of("amd64", { layers: [await layer({ name })] })
    const operator = await reading({ "x.io/common:1": await named("common") })
    const remote = await reading({ [BASE]: await named("base"), "x.io/own:1": await named("own") })
    const composer = new Composer({
      readers: { operator: operator.reader, remote: remote.reader },
      layers: { operator: operator.layers, remote: remote.layers },
      staticLayers: parseSpec({ baseRef: "scratch", layers: [{ image: "x.io/common:1" }] }, null).layers,
      staticSources: operator.layers,
      defaultPlatform: parsePlatform("linux/amd64"),
      log: silentLogger,
    })
    const spec = parseSpec({ baseRef: BASE, layers: [{ image: "x.io/own:1" }] }, null)
    const { blobs, staleReferences } = await composer.compose(spec, never)

    expect(operator.reader.asked).toEqual(["x.io/common:1"])
    expect(new Set(remote.reader.asked)).toEqual(new Set([BASE, "x.io/own:1"]))
    expect(staleReferences()).toEqual([BASE, "x.io/own:1", "x.io/common:1"])
    expect([...blobs.values()].map(({ from, trust }) => `${trust} ${from}`)).toEqual([
      "remote x.io/base",
      "operator x.io/common",
      "remote x.io/own",
    ])
  })
})
