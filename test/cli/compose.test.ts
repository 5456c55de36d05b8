import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { image, index, layer, OCI_INDEX, OCI_MANIFEST, platform, type TestIndex } from "../helpers/images.ts"
import { runBinary } from "../helpers/run-binary.ts"
import { tempDir } from "../helpers/temp-dir.ts"
import { startUpstream, type UpstreamServer } from "../helpers/upstream-server.ts"

// The compiled program is started several times, on machines that have more to do
setDefaultTimeout(30_000)

let upstream: UpstreamServer
let base: TestIndex
let config: string
beforeAll(async () => {
  upstream = startUpstream()
  const amd64 = await image({ architecture: "amd64", layers: [await layer({ a: "amd64" })] })
  const arm64 = await image({ architecture: "arm64", layers: [await layer({ a: "arm64" })] })
  base = index([
    [amd64, platform("amd64")],
    [arm64, platform("arm64", "v8")],
  ])
  upstream.add("lab/base", "1", base)
  const dir = tempDir()
  config = join(dir, "config.json")
  writeFileSync(config, JSON.stringify({ registry: { store: "store", fixedSpecFN: "specs.json" } }))
  const app = { baseRef: `${upstream.host}/lab/base:1`, layers: [{ files: { "/etc/motd": "hello" } }] }
  const gone = { baseRef: `${upstream.host}/lab/gone:1` }
  writeFileSync(join(dir, "specs.json"), JSON.stringify({ app, "group/app": app, gone }))
})
afterAll(() => upstream.stop())

const compose = async (...args: readonly string[]) => await runBinary(["compose", config, ...args])

describe("compose", () => {
  test("prints every platform's documents, and where each layer comes from", async () => {
    const { code, out } = await compose("fixed/app")
    const { root, platforms } = JSON.parse(out)

    expect(root.mediaType).toBe(OCI_INDEX)
    expect(platforms.map((one: { platform: string }) => one.platform)).toEqual(["linux/amd64", "linux/arm64"])
    for (const [number, { manifest, config: composed, layers }] of platforms.entries()) {
      expect(manifest).toMatchObject({ mediaType: OCI_MANIFEST, content: { layers: [{}, {}] } })
      expect(manifest.content.config.digest).toBe(composed.digest)
      expect(composed.content.rootfs.diff_ids).toHaveLength(2)
      expect(layers).toMatchObject([
        {
          rule: "spec.baseRef",
          from: "base",
          sources: [`${upstream.host}/lab/base`],
          digest: base.images[number]?.layers[0]?.digest ?? "",
        },
        { rule: "spec.layers[0]", from: "files /etc/motd" },
      ])
    }
    expect(code).toBe(0)
  })

  test("prints the same again, from the store or without it", async () => {
    const first = await compose("app")
    const other = join(tempDir(), "config.json")
    writeFileSync(other, JSON.stringify({ registry: { fixedSpecFN: join(config, "../specs.json") } }))
    const elsewhere = await runBinary(["compose", other, "app"])

    expect((await compose("app")).out).toBe(first.out)
    expect(JSON.parse(elsewhere.out).root.digest).toBe(JSON.parse(first.out).root.digest)
  })

  test("finds names with and without provider, and with slashes", async () => {
    const digests = []
    for (const name of ["app", "fixed/app", "fixed/group/app"])
      digests.push(JSON.parse((await compose(name)).out).root.digest)

    expect(new Set(digests).size).toBe(1)
  })

  test("prints one platform alone", async () => {
    const { out } = await compose("app", "--platform", "linux/arm64")

    expect(JSON.parse(out).platforms).toHaveLength(1)
    expect(JSON.parse(out).platforms[0].config.content.architecture).toBe("arm64")
  })

  test.each([
    [["app", "--platform", "linux/s390x"], "The image has no platform linux/s390x, it has linux/amd64, linux/arm64"],
    [["app", "--platform", "s390x"], 'Cannot parse platform "s390x"'],
    [["nobody"], "Cannot find fixed/nobody: no image of that name is configured"],
    [["remote/app"], "Cannot find remote/app"],
    [["gone"], "answered 404, it has no such image; check the name and the tag"],
  ])("%j fails with code 1", async (args, message) => {
    const { code, out, err } = await compose(...args)

    expect(err).toContain(message)
    expect([code, out]).toEqual([1, ""])
  })

  test("logs go to stderr, so that the output stays JSON", async () => {
    const { out, err } = await compose("app", "-v", "--json-log=false")

    expect(() => JSON.parse(out)).not.toThrow()
    expect(err).not.toMatch(/^\{/m)
  })
})
