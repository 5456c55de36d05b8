import { describe, expect, test } from "bun:test"
import { readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { Composer, type Composition } from "../../src/facade/composer.ts"
import { systemClock } from "../../src/lib/clock.ts"
import { parseDigest } from "../../src/oci/digest.ts"
import {
  asItems,
  asObject,
  asString,
  getMember,
  type Json,
  type JsonObject,
  parseJson,
  printJson,
  toJson,
  withMember,
} from "../../src/oci/json.ts"
import { parsePlatform } from "../../src/oci/platform.ts"
import { parseSpec } from "../../src/spec/parse.ts"
import { byTrust } from "../helpers/by-trust.ts"
import { layerSources } from "../helpers/layer-sources.ts"
import { memoryImages } from "../helpers/memory-images.ts"
import { silentLogger } from "../helpers/silent-logger.ts"

/**
 * Every file holds images, a spec, and the exact documents that they are composed to. What changes here changes the
 * digest of images on every node, so the files are written again only with UPDATE_GOLDEN=1, and reviewed.
 * The digests of the images in a file are made up.
 */
const FIXTURES = join(import.meta.dir, "../fixtures/compose")
const isUpdate = process.env["UPDATE_GOLDEN"] === "1"
const files = readdirSync(FIXTURES).filter((name) => name.endsWith(".json"))

describe("composed images are byte for byte what they were", () => {
  test.each(files)("%s", async (name) => {
    const path = join(FIXTURES, name)
    const fixture = object(parseJson(readFileSync(path)))
    const composed = await compose(fixture)
    const documents = [...composed.documents.values()].map(({ descriptor, bytes }) => {
      const { mediaType, digest, size } = descriptor
      return withMember(object(toJson({ mediaType, digest, size })), "content", parseJson(bytes))
    })
    if (isUpdate) {
      const expected: Json = { kind: "array", items: documents }
      writeFileSync(path, `${pretty(withMember(fixture, "expected", expected))}\n`)
    }
    const expected = asItems(getMember(object(parseJson(readFileSync(path))), "expected"))

    expect(documents.map(printJson)).toEqual(expected.map(printJson))
    for (const { bytes } of composed.documents.values()) {
      expect(new TextDecoder().decode(bytes)).toBe(printJson(parseJson(bytes)))
    }
  })

  test.each(files)("%s again: another process, clock and order of answers make no difference", async (name) => {
    const fixture = object(parseJson(readFileSync(join(FIXTURES, name))))
    const [one, other] = await Promise.all([compose(fixture), compose(fixture, new Date("2038-01-19T03:14:07Z"))])

    expect([...other.documents.keys()]).toEqual([...one.documents.keys()])
  })
})

function object(json: Json | null): JsonObject {
  const found = asObject(json)
  if (found === null) throw new Error("The fixture is not as expected")
  return found
}

const plain = (json: Json | null): unknown => (json === null ? null : JSON.parse(printJson(json)))

async function compose(fixture: JsonObject, now?: Date): Promise<Composition> {
  const reader = memoryImages()
  for (const { key, value } of object(getMember(fixture, "images")).members) {
    reader.add(
      key,
      asItems(value).map((document) => {
        const bytes = new TextEncoder().encode(printJson(getMember(document, "content") ?? toJson(null)))
        const digest = parseDigest(asString(getMember(document, "digest")) ?? "")
        const mediaType = asString(getMember(document, "mediaType")) ?? ""
        return { bytes, descriptor: { mediaType, digest, size: bytes.byteLength } }
      }),
    )
  }
  const clock = now === undefined ? systemClock : { ...systemClock, now: () => now.getTime() }
  const layers = byTrust(await layerSources(reader, clock))
  const staticLayers = parseSpec({ baseRef: "scratch", layers: plain(getMember(fixture, "static")) }, null).layers
  const defaultPlatform = parsePlatform("linux/amd64")
  const composer = new Composer({
    readers: byTrust(reader),
    layers,
    staticLayers,
    staticSources: layers.operator,
    defaultPlatform,
    log: silentLogger,
  })
  return await composer.compose(parseSpec(plain(getMember(fixture, "spec")), null), new AbortController().signal)
}

/** Indented, with every number and text spelled as it was; lists of plain values stay on one line. */
function pretty(json: Json, indent = ""): string {
  const inner = `${indent}  `
  const isFlat = json.kind === "scalar" || (json.kind === "array" && json.items.every(({ kind }) => kind === "scalar"))
  if (isFlat) return printJson(json)
  if (json.kind === "array")
    return `[\n${json.items.map((item) => inner + pretty(item, inner)).join(",\n")}\n${indent}]`
  if (json.kind !== "object" || json.members.length === 0) return printJson(json)
  const lines = json.members.map(({ rawKey, value }) => `${inner}${rawKey}: ${pretty(value, inner)}`)
  return `{\n${lines.join(",\n")}\n${indent}}`
}
