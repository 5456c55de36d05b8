import { describe, expect, test } from "bun:test"
import fc from "fast-check"
import { composeImage } from "../../src/compose/compose.ts"
import type { ConfigEdit, EnvEdit } from "../../src/layer/layer.ts"
import { asItems, asObject, getMember, type JsonObject, parseJson, printJson } from "../../src/oci/json.ts"
import { addedLayer, type BaseOptions, baseImage, NO_EDIT } from "../helpers/base-image.ts"
import { DOCKER_LAYER, OCI_LAYER } from "../helpers/images.ts"

/** Values whose spelling JavaScript's objects would lose, and others. */
const value = fc.oneof(
  fc.constantFrom("1.50", "9007199254740993", "1e400", '"\\u00e9"', "null", '{"10":1,"2":2,"__proto__":[]}', "[ ]"),
  fc.json({ maxDepth: 2 }),
)
const KNOWN =
  /^(?:schemaversion|mediatype|artifacttype|config|layers|manifests|subject|signatures|fslayers|annotations)$/i
const KNOWN_CONFIG = /^(?:os|architecture|variant|rootfs|config|created|history)$/
const members = (known: RegExp) =>
  fc
    .uniqueArray(fc.tuple(fc.oneof(fc.string(), fc.constantFrom("10", "2", "__proto__")), value), {
      selector: ([key]) => key,
      maxLength: 6,
    })
    .map((pairs) => pairs.filter(([key]) => !known.test(key)))
type Members = readonly (readonly [string, string])[]
const text = (pairs: Members) => pairs.map(([key, raw]) => `${JSON.stringify(key)}:${raw}`).join(",")

const name = fc.constantFrom("A", "B", "PATH")
const envEdit: fc.Arbitrary<EnvEdit> = fc.oneof(
  fc.record({ op: fc.constantFrom("set" as const, "default" as const), name, value: fc.string() }),
  fc.record({
    op: fc.constantFrom("before" as const, "after" as const),
    name,
    value: fc.string(),
    separator: fc.constant(":"),
  }),
  fc.record({ op: fc.constant("unset" as const), name }),
)
const edit: fc.Arbitrary<ConfigEdit> = fc
  .record(
    {
      env: fc.array(envEdit, { maxLength: 3 }),
      entrypoint: fc.array(fc.string(), { maxLength: 2 }),
      cmd: fc.array(fc.string(), { maxLength: 2 }),
      user: fc.string(),
      workingDir: fc.string(),
      labels: fc.dictionary(fc.string(), fc.string(), { maxKeys: 3 }),
    },
    { requiredKeys: [] },
  )
  .map((some) => ({ ...NO_EDIT, ...some }))
const layers = fc.array(
  fc
    .tuple(fc.string(), fc.constantFrom(OCI_LAYER, `${OCI_LAYER}+gzip`, `${OCI_LAYER}+zstd`, DOCKER_LAYER))
    .map(([layer, type]) => addedLayer(layer, type)),
  { maxLength: 4 },
)
const bases = fc.record({
  family: fc.constantFrom("oci" as const, "docker" as const),
  layers: fc.nat(4),
  manifest: members(KNOWN),
  config: members(KNOWN_CONFIG),
})
const cases = fc.record({
  base: bases,
  layers,
  edit,
  annotations: fc.dictionary(fc.string(), fc.string(), { maxKeys: 3 }),
})
type Case = typeof cases extends fc.Arbitrary<infer Value> ? Value : never

const baseOf = ({ family, layers: count, manifest, config }: Case["base"]): BaseOptions => ({
  family,
  layers: count,
  manifest: text(manifest),
  config: text(config),
})
const compose = ({ base, ...additions }: Case) => composeImage(baseImage(baseOf(base)), additions)

function documents(one: Case): { readonly manifest: JsonObject; readonly config: JsonObject } {
  const { manifest, config } = compose(one)
  const [a, b] = [manifest, config].map(({ bytes }) => asObject(parseJson(bytes)))
  if (a === null || b === null || a === undefined || b === undefined) throw new Error("not an object")
  return { manifest: a, config: b }
}

const always = (check: (one: Case) => void) => fc.assert(fc.property(cases, check), { numRuns: 300 })

describe("composing any image", () => {
  test("equal input gives equal bytes", () => {
    always((one) => {
      expect(compose(structuredClone(one))).toEqual(compose(one))
    })
  })

  test("as many diff_ids as layers, and no more history than both", () => {
    always((one) => {
      const { manifest, config } = documents(one)
      const count = one.base.layers + one.layers.length
      const history = asItems(getMember(config, "history"))
      const filled = history.filter((entry) => getMember(entry, "empty_layer") === null)

      expect(asItems(getMember(manifest, "layers"))).toHaveLength(count)
      expect(asItems(getMember(getMember(config, "rootfs"), "diff_ids"))).toHaveLength(count)
      expect(filled).toHaveLength(one.layers.length)
      expect(history.length - filled.length).toBeLessThanOrEqual(1)
    })
  })

  test("unknown members survive with their spelling, and in their order", () => {
    const unknown = (json: JsonObject, known: RegExp) =>
      json.members.filter(({ key }) => !known.test(key)).map(({ key, value: kept }) => [key, printJson(kept)])
    const compact = (pairs: Members) =>
      pairs.map(([key, raw]) => [key, printJson(parseJson(new TextEncoder().encode(raw)))])
    always((one) => {
      const { manifest, config } = documents(one)

      expect(unknown(manifest, KNOWN)).toEqual(compact(one.base.manifest))
      expect(unknown(config, KNOWN_CONFIG)).toEqual(compact(one.base.config))
    })
  })

  test("members of the base keep their order, and new ones come behind them", () => {
    const keys = (bytes: Uint8Array) => asObject(parseJson(bytes))?.members.map(({ key }) => key) ?? []
    always((one) => {
      const base = baseImage(baseOf(one.base))
      const composed = compose(one)
      const pairs = [
        [keys(base.manifest.blob.bytes), keys(composed.manifest.bytes)],
        [base.config.json.members.map(({ key }) => key), keys(composed.config.bytes)],
      ] as const

      for (const [before, now] of pairs) expect(now.slice(0, before.length)).toEqual([...before])
    })
  })

  test("a manifest and its layers are of one family", () => {
    always((one) => {
      const { manifest } = documents(one)
      const types = asItems(getMember(manifest, "layers")).map((layer) =>
        printJson(getMember(layer, "mediaType") ?? layer),
      )
      const isDocker = printJson(getMember(manifest, "mediaType") ?? manifest).includes("docker")

      expect(types.filter((type) => type.includes("docker") !== isDocker)).toEqual([])
    })
  })
})
