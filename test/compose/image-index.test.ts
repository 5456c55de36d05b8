import { describe, expect, test } from "bun:test"
import { type ComposedEntry, composeIndex } from "../../src/compose/image-index.ts"
import { scratchImage, scratchIndex } from "../../src/compose/scratch.ts"
import { digestOf } from "../../src/oci/digest.ts"
import { asObject, parseJson } from "../../src/oci/json.ts"
import { DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST } from "../helpers/images.ts"

const AMD64 = { os: "linux", architecture: "amd64" }

function object(text: string) {
  const json = asObject(parseJson(new TextEncoder().encode(text)))
  if (json === null) throw new Error("not an object")
  return json
}

function entry(json: string, mediaType = OCI_MANIFEST): ComposedEntry {
  const bytes = new TextEncoder().encode(`composed ${json}`)
  const descriptor = { mediaType, digest: digestOf(bytes), size: bytes.byteLength }
  return { json: object(json), platform: AMD64, manifest: { descriptor, bytes } }
}

const compose = (base: string, entries: readonly ComposedEntry[], annotations = {}) => {
  const blob = composeIndex(object(base), entries, annotations)
  return { blob, text: new TextDecoder().decode(blob.bytes), value: JSON.parse(new TextDecoder().decode(blob.bytes)) }
}

describe("composeIndex()", () => {
  test("points to the composed manifests in the order that it is given", () => {
    const entries = [
      entry(
        '{"mediaType":"x/y","size":1,"digest":"d","platform":{"architecture":"arm64","os":"linux","variant":"v8"}}',
      ),
      entry('{"platform":{"os.version":"10.0.1","os":"windows","architecture":"amd64","os.features":["win32k"]}}'),
    ]
    const { value, blob } = compose('{"schemaVersion":2,"manifests":[]}', entries)

    expect(value.manifests).toEqual([
      { ...entries[0]?.manifest.descriptor, platform: { architecture: "arm64", os: "linux", variant: "v8" } },
      {
        ...entries[1]?.manifest.descriptor,
        platform: { "os.version": "10.0.1", os: "windows", architecture: "amd64", "os.features": ["win32k"] },
      },
    ])
    expect(blob.descriptor).toEqual({ mediaType: OCI_INDEX, digest: digestOf(blob.bytes), size: blob.bytes.byteLength })
  })

  test.each(["{}", '{"platform":null}', '{"platform":{}}', '{"platform":{"os":"linux"}}'])(
    "%s is given the platform of its image",
    (json) => {
      expect(compose("{}", [entry(json)]).value.manifests[0].platform).toEqual(AMD64)
    },
  )

  test("an entry loses what was true of the old manifest only", () => {
    const json = `{"data":"e30=","urls":["https://x"],"annotations":{"org.opencontainers.image.base.name":"x","org.opencontainers.image.base.digest":"y","10":"z","com.docker.official-images.bashbrew.arch":"amd64"},"odd":1.50,"platform":{"os":"linux","architecture":"amd64"}}`
    const { text, value } = compose("{}", [entry(json)])

    expect(value.manifests[0]).not.toContainAnyKeys(["data", "urls"])
    expect(text).toContain('"annotations":{"10":"z","com.docker.official-images.bashbrew.arch":"amd64"},"odd":1.50')
  })

  test.each([
    [DOCKER_LIST, [DOCKER_MANIFEST, DOCKER_MANIFEST], DOCKER_LIST],
    [DOCKER_LIST, [DOCKER_MANIFEST, OCI_MANIFEST], OCI_INDEX],
    [OCI_INDEX, [DOCKER_MANIFEST], OCI_INDEX],
    [OCI_INDEX, [OCI_MANIFEST], OCI_INDEX],
  ])("%s with %j is %s", (before, types, expected) => {
    const { blob, value } = compose(
      `{"mediaType":"${before}"}`,
      types.map((type) => entry("{}", type)),
    )

    expect([blob.descriptor.mediaType, value.mediaType]).toEqual([expected, expected])
  })

  test("is no referrer, and keeps everything else that the base says", () => {
    const base =
      '{"schemaVersion":2,"2":1.50,"subject":{},"manifests":[{}],"artifactType":"x/y","annotations":{"a":"b","c":"d"},"__proto__":1}'
    const { text } = compose(base, [], { a: "new", e: "f" })

    expect(text).toBe(
      `{"schemaVersion":2,"2":1.50,"manifests":[],"annotations":{"a":"new","c":"d","e":"f"},"__proto__":1,"mediaType":"${OCI_INDEX}"}`,
    )
  })
})

describe("scratch", () => {
  test("the empty image has a config, a platform and no layers", () => {
    const { manifest, config } = scratchImage({ os: "linux", architecture: "arm", variant: "v6" })

    expect(config.platform).toEqual({ os: "linux", architecture: "arm", variant: "v6" })
    expect(manifest.layers).toEqual([])
    expect(manifest.config.descriptor.digest).not.toBe(manifest.blob.descriptor.digest)
  })

  test("the empty index is an index", () => {
    expect(composeIndex(scratchIndex(), [], {}).descriptor.mediaType).toBe(OCI_INDEX)
  })
})
