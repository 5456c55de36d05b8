import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { createHash } from "node:crypto"
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { image, index, layer, OCI_INDEX, OCI_MANIFEST, platform } from "../helpers/images.ts"
import { skopeo } from "../helpers/lab.ts"
import { blobPath, type Pointer } from "../helpers/oci-layout.ts"
import { findProgram, needs, output } from "../helpers/programs.ts"
import { runBinary } from "../helpers/run-binary.ts"
import { tempDir } from "../helpers/temp-dir.ts"
import { startUpstream, type UpstreamServer } from "../helpers/upstream-server.ts"

setDefaultTimeout(60_000)

let upstream: UpstreamServer
let config: string
beforeAll(async () => {
  upstream = startUpstream()
  const [amd64, arm64] = await Promise.all(
    ["amd64", "arm64"].map(async (architecture) =>
      image({ architecture, layers: [await layer({ "base.txt": architecture })] }),
    ),
  )
  if (amd64 === undefined || arm64 === undefined) throw new Error("There are two images")
  const both = index([
    [amd64, platform("amd64")],
    [arm64, platform("arm64")],
  ])
  upstream.add("lab/base", "1", both)
  const dir = tempDir()
  config = join(dir, "config.json")
  writeFileSync(config, JSON.stringify({ registry: { store: "store", fixedSpecFN: "specs.json" } }))
  const app = { baseRef: `${upstream.host}/lab/base:1`, layers: [{ files: { "/etc/motd": "hello" } }] }
  writeFileSync(join(dir, "specs.json"), JSON.stringify({ app, other: { ...app, layers: [] } }))
})
afterAll(() => upstream.stop())

const compose = async (...args: readonly string[]) => await runBinary(["compose", config, ...args])
const entries = (dir: string) =>
  (JSON.parse(readFileSync(join(dir, "index.json"), "utf8")) as { readonly manifests: readonly Pointer[] }).manifests

describe("compose --output", () => {
  test("writes the whole image, with the digests that it is served under", async () => {
    const dir = join(tempDir(), "layout")
    const printed = JSON.parse((await compose("app")).out)
    const { code, out } = await compose("app", "--output", `oci:${dir}:v1`)

    expect([code, out]).toEqual([0, `${printed.root.digest} is v1 in ${dir}\n`])
    expect(entries(dir)).toMatchObject([
      { mediaType: OCI_INDEX, digest: printed.root.digest, annotations: { "org.opencontainers.image.ref.name": "v1" } },
    ])
    const blobs = readdirSync(join(dir, "blobs/sha256"))
    expect(blobs).toHaveLength(1 + 2 * 4 - 1) // the layer of files is the same on both platforms
    for (const name of blobs) {
      const bytes = readFileSync(join(dir, "blobs/sha256", name))
      expect(createHash("sha256").update(bytes).digest("hex")).toBe(name)
    }
  })

  test("--platform writes that platform alone", async () => {
    const dir = join(tempDir(), "layout")
    await compose("app", "--platform", "linux/arm64", "--output", `oci:${dir}`)

    expect(entries(dir)).toMatchObject([
      { mediaType: OCI_MANIFEST, annotations: { "org.opencontainers.image.ref.name": "latest" } },
    ])
    expect(readdirSync(join(dir, "blobs/sha256"))).toHaveLength(4)
  })

  test("adds to a layout, moves a tag, and copies nothing twice", async () => {
    const dir = join(tempDir(), "layout")
    await compose("app", "--output", `oci:${dir}:a`)
    const [first] = entries(dir)
    const path = join(dir, blobPath(first?.digest ?? ""))
    const { ino } = statSync(path)
    await compose("app", "--output", `oci:${dir}:b`)
    await compose("other", "--output", `oci:${dir}:a`)

    expect(entries(dir).map(({ annotations }) => annotations?.["org.opencontainers.image.ref.name"])).toEqual([
      "b",
      "a",
    ])
    expect(entries(dir)[0]?.digest).toBe(first?.digest ?? "")
    expect(statSync(path).ino).toBe(ino)
  })

  test("refuses a directory that holds something else, and bad names", async () => {
    const dir = tempDir()
    writeFileSync(join(dir, "mine.txt"), "mine")
    const [foreign, noLayout, badTag] = await Promise.all([
      compose("app", "--output", `oci:${dir}`),
      compose("app", "--output", dir),
      compose("app", "--output", "oci:"),
    ])

    expect([foreign.code, noLayout.code, badTag.code]).toEqual([1, 2, 2])
    expect(foreign.err).toContain("there is something else in it")
    expect(existsSync(join(dir, "oci-layout"))).toBe(false)
    expect(readdirSync(dir)).toEqual(["mine.txt"])
  })

  const tools = needs("skopeo", "umoci")
  test.skipIf(tools.isMissing)(`skopeo and umoci read it${tools.note}`, async () => {
    const dir = join(tempDir(), "layout")
    await compose("app", "--platform", "linux/amd64", "--output", `oci:${dir}:v1`)

    const inspected = JSON.parse(await output(skopeo("inspect", `oci:${dir}:v1`)))
    const listed = await output([findProgram("umoci") ?? "umoci", "ls", "--layout", dir])
    const rootfs = join(tempDir(), "rootfs")
    await output([findProgram("umoci") ?? "umoci", "raw", "unpack", "--rootless", "--image", `${dir}:v1`, rootfs])

    expect(inspected.Architecture).toBe("amd64")
    expect(listed.trim()).toBe("v1")
    expect(readFileSync(join(rootfs, "etc/motd"), "utf8")).toBe("hello")
    expect(readFileSync(join(rootfs, "base.txt"), "utf8")).toBe("amd64")
  })
})
