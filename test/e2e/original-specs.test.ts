import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { type RunningFacade, startFacade } from "../helpers/facade.ts"
import { image, index, layer, OCI_INDEX, OCI_MANIFEST, platform, type TestImage } from "../helpers/images.ts"
import { needs } from "../helpers/programs.ts"
import { runBinary } from "../helpers/run-binary.ts"
import { SPEC_SERVER, type SpecServer, startSpecServer } from "../helpers/spec-server.ts"
import { startUpstream, type UpstreamServer } from "../helpers/upstream-server.ts"

setDefaultTimeout(30_000)

interface Composed {
  readonly layers: readonly { readonly digest: string }[]
  readonly config: { readonly digest: string }
}

let upstream: UpstreamServer
/** That is asked; those before it are stopped at the end, too. */
let facade: RunningFacade
const running: RunningFacade[] = []
let base: TestImage
let stopSpecs = async () => {}
const SKIP = "skip-n.registry-facade.gitpod.io"
const requirement = needs(SPEC_SERVER)
const ref = (name: string) => `${upstream.host}/lab/${name}:1`
const layers = async (name: string, count: number) =>
  await Promise.all(Array.from({ length: count }, (_, place) => layer({ [`${name}-${place}`]: name })))
const add = async (name: string, options: Parameters<typeof image>[0]): Promise<TestImage> => {
  const added = await image(options)
  upstream.add(`lab/${name}`, "1", added)
  return added
}

beforeAll(() => {
  upstream = startUpstream()
})
afterAll(async () => {
  for (const one of running) await one.stop()
  await stopSpecs()
  upstream.stop()
})

async function serve(options: Parameters<typeof startFacade>[0]): Promise<void> {
  facade = await startFacade({ mode: "binary", ...options })
  running.push(facade)
}

const manifestOf = async (name: string, accept = OCI_MANIFEST) =>
  await facade.get(`/v2/${name}/manifests/latest`, { headers: { accept } })
async function composed(name: string) {
  const answer = await manifestOf(name)
  const manifest = (await answer.json()) as Composed
  const text = await (await facade.get(`/v2/${name}/blobs/${manifest.config.digest}`)).text()
  const config = JSON.parse(text) as { config: { Env?: string[] }; rootfs: { diff_ids: string[] } }
  return { digests: manifest.layers.map(({ digest }) => digest), config, text }
}

describe("specs in the original's protobuf", () => {
  /** One field that holds a short text. */
  const field = (number: number, text: string) =>
    Buffer.concat([Buffer.from([number * 8 + 2, text.length]), Buffer.from(text)])

  test.each([
    ["A-2", ["--base-ref", "alpine:latest"], [field(1, "alpine:latest")]],
    ["A-3", ["--base-ref=", "--ide-ref", "ide:1"], [field(2, "ide:1")]],
    ["A-4", ["--base-ref", "alpine:latest", "--ide-ref", "ide:1"], [field(1, "alpine:latest"), field(2, "ide:1")]],
  ] as const)("%s: are printed as base64 of its bytes: %j", async (_, flags, bytes) => {
    const { code, out } = await runBinary(["debug", "create-spec", "--base64", ...flags])
    expect([code, out]).toEqual([0, `${Buffer.concat([...bytes]).toString("base64")}\n`])
  })

  describe.skipIf(requirement.isMissing)(`from the reference implementation${requirement.note}`, () => {
    let specs: SpecServer
    beforeAll(async () => {
      base = await add("base", { layers: await layers("base", 2) })
      await add("ide", { layers: await layers("ide", 1) })
      specs = await startSpecServer()
      stopSpecs = async () => await specs.stop()
      await serve({
        registry: { upstreams: { [upstream.host]: {} }, remoteSpecProvider: [{ addr: specs.addr }] },
      })
    })

    test("A-1: none is an unknown name", async () => {
      specs.answer({ none: {} })
      expect((await manifestOf("remote/none")).status).toBe(404)
    })

    test("A-2: with a base alone is that image", async () => {
      specs.answer({ one: { spec: { baseRef: ref("base") } } })
      expect((await composed("remote/one")).digests).toEqual(base.layers.map(({ digest }) => digest))
    })

    test("A-3: with an IDE alone has no base, which is told", async () => {
      specs.answer({ two: { spec: { ideRef: ref("ide") } } })
      const answer = await manifestOf("remote/two")
      expect([answer.status, (await answer.text()).includes("baseRef")]).toEqual([400, true])
    })

    test("A-4: with both has the layers of both", async () => {
      specs.answer({ three: { spec: { baseRef: ref("base"), ideRef: ref("ide") } } })
      expect((await composed("remote/three")).digests).toHaveLength(3)
    })

    test("A-5: with a remote layer has what it says of it", async () => {
      const [one] = await layers("remote", 1)
      const { diffID = "", digest = "", mediaType = "", size = 0 } = one ?? {}
      if (one !== undefined) upstream.addBlob(one)
      const url = `http://${upstream.host}/v2/lab/base/blobs/${digest}`
      const remote = { url, digest, diffId: diffID, mediaType, size }
      specs.answer({ four: { spec: { baseRef: ref("base"), contentLayer: [{ remote }] } } })
      const { config, digests } = await composed("remote/four")

      expect([digests.at(-1), config.rootfs.diff_ids.at(-1)]).toEqual([digest, diffID])
      expect((await facade.get(`/v2/remote/four/blobs/${digest}`)).status).toBe(200)
    })
  })
})

describe("added images", () => {
  const specOf = (name: string) => ({ baseRef: ref("empty"), layers: [{ image: ref(name) }] })
  const names = ["code", "theia", "skip-1", "skip-10", "skip--10", "skip-not-a-number"]
  const added: Record<string, TestImage> = {}
  beforeAll(async () => {
    await add("empty", { layers: await layers("empty", 1), settings: { Env: undefined, Cmd: ["sh"] } })
    const env = (...more: readonly string[]) => [
      "PATH=/usr/local/bin",
      "GITPOD_ENV_APPEND_PATH=/ide/bin:",
      ...more,
      "OWN=1",
    ]
    const editors = (editor: string, git: string) =>
      [`EDITOR=${editor}`, `VISUAL=${editor}`, `GIT_EDITOR=${git}`].map((pair) => `GITPOD_ENV_SET_${pair}`)
    const code = env(...editors("code", "code --wait"))
    const theia = env("GITPOD_BUILT_IN_PLUGINS=/x", ...editors("gp open -w", "gp open -w"))
    added["code"] = await add("code", { layers: await layers("code", 5), settings: { Env: code } })
    added["theia"] = await add("theia", { layers: await layers("theia", 8), settings: { Env: theia } })
    for (const label of ["1", "10", "-10", "not-a-number"]) {
      const settings = { Labels: { [SKIP]: label } }
      added[`skip-${label}`] = await add(`skip-${label}`, { layers: await layers(label, 2), settings })
    }
    await serve({ specs: Object.fromEntries(names.map((name, place) => [`n${place}`, specOf(name)])) })
  })

  const of = async (name: string) => await composed(`fixed/n${names.indexOf(name)}`)
  const layersOf = (name: string) => added[name]?.layers ?? []

  test.each([
    ["A-21", "code", ["PATH=/ide/bin:", "EDITOR=code", "VISUAL=code", "GIT_EDITOR=code --wait"]],
    ["A-22", "theia", ["PATH=/ide/bin:", "EDITOR=gp open -w", "VISUAL=gp open -w", "GIT_EDITOR=gp open -w"]],
  ])("%s: %s gives all of its layers in order, and of its environment what it sets", async (_, name, env) => {
    const { config, digests } = await of(name)
    expect(digests.slice(1)).toEqual(layersOf(name).map(({ digest }) => digest))
    expect(config.rootfs.diff_ids.slice(1)).toEqual(layersOf(name).map(({ diffID }) => diffID))
    expect(config.config.Env).toEqual(env)
  })

  test.each([
    ["A-23", "skip-1", 1],
    ["A-24", "skip-10", 2],
  ])("%s: %s leaves its first layers out", async (_, name, left) => {
    const { config } = await of(name)
    const rest = layersOf(name).slice(left)
    expect(config.rootfs.diff_ids.slice(1)).toEqual(rest.map(({ diffID }) => diffID))
  })

  test.each([
    ["A-25", "skip--10", '"-10"'],
    ["A-26", "skip-not-a-number", '"not-a-number"'],
  ])("%s: %s cannot be used, and its label is told", async (_, name, value) => {
    const answer = await manifestOf(`fixed/n${names.indexOf(name)}`)
    const text = JSON.parse(await answer.text()).errors[0].message
    expect(answer.status).toBe(500)
    expect([text.includes(SKIP), text.includes(value)]).toEqual([true, true])
  })
})

describe("bases", () => {
  test("D-1: of an index the platform counts, not the order, and attestations do not", async () => {
    const arm = await image({ architecture: "arm64", layers: await layers("arm", 1) })
    const amd = await image({ architecture: "amd64", layers: await layers("amd", 1) })
    const attestation = await image({ layers: await layers("attestation", 1) })
    const none = { platform: { architecture: "unknown", os: "unknown" } }
    const entries = [
      [attestation, none],
      [arm, platform("arm64")],
      [amd, platform("amd64")],
    ] as const
    upstream.add("lab/multi", "1", index(entries))
    await serve({
      specs: { multi: { baseRef: ref("multi") } },
      registry: { defaultPlatform: "linux/amd64" },
    })
    const { digests } = await composed("fixed/multi")
    const answer = await manifestOf("fixed/multi", OCI_INDEX)
    const { manifests } = (await answer.json()) as { manifests: { platform: { architecture: string } }[] }

    expect(digests).toEqual(amd.layers.map(({ digest }) => digest))
    expect(manifests.map((entry) => entry.platform.architecture)).toEqual(["arm64", "amd64"])
  })

  test("D-24: keep what composing does not change, as it was written", async () => {
    const settings = {
      Healthcheck: { Test: ["CMD", "true"] },
      Shell: ["/bin/sh"],
      OnBuild: ["RUN x"],
      Unknown: { "10": 1 },
    }
    const config = { "moby.buildkit.buildinfo.v1": "e30=", "10": "ten", "2": "two" }
    await add("kept", { layers: await layers("kept", 1), settings, config })
    await serve({
      specs: { kept: { baseRef: ref("kept"), layers: [{ files: { a: "b" } }] } },
    })
    const { text } = await composed("fixed/kept")

    for (const [key, value] of [...Object.entries(settings), ...Object.entries(config)])
      expect(text).toContain(`${JSON.stringify(key)}:${JSON.stringify(value)}`)
  })
})
