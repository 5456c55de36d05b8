import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { type RunningFacade, startFacade } from "../helpers/facade.ts"
import { image, layer, tar } from "../helpers/images.ts"
import { tempDir } from "../helpers/temp-dir.ts"
import { until } from "../helpers/until.ts"
import { startUpstream, type UpstreamServer } from "../helpers/upstream-server.ts"

setDefaultTimeout(30_000)

interface LoggedLayer {
  readonly rule: string
  readonly from: string
  readonly sources: readonly string[]
  readonly digest: string
}

let upstream: UpstreamServer
let facade: RunningFacade
beforeAll(async () => {
  upstream = startUpstream()
  for (const name of ["base", "common", "ide", "supervisor", "plugin"])
    upstream.add(`lab/${name}`, "1", await image({ layers: [await layer({ name })] }))
  const dir = tempDir()
  mkdirSync(join(dir, "certs"))
  writeFileSync(join(dir, "certs/ca.crt"), "certificate")
  const ref = (name: string) => `${upstream.host}/lab/${name}:1`
  const direct = { content: Buffer.from(await tar({ content: "content" })).toString("base64") }
  facade = await startFacade({
    mode: "binary",
    dir,
    registry: {
      staticLayer: [
        { type: "image", ref: ref("common") },
        { type: "dir", ref: "certs" },
      ],
    },
    specs: {
      app: {
        baseRef: ref("base"),
        ideRef: ref("ide"),
        supervisorRef: ref("supervisor"),
        ideLayerRef: [ref("plugin")],
        layers: [{ files: { "/etc/motd": "hello" } }],
        contentLayer: [{ direct }],
      },
    },
  })
})
afterAll(async () => {
  await facade.stop()
  upstream.stop()
})

describe("the debug log explains an image", () => {
  test("C-8: which rule put each layer there, and where its bytes are", async () => {
    const answer = await facade.get("/v2/fixed/app/manifests/latest")
    const { layers } = (await answer.json()) as { layers: { digest: string }[] }
    const line = () => facade.logs.find(({ message }) => message === "composed image")
    await until(() => line() !== undefined)
    const { name, platforms } = line() as { name: string; platforms: { layers: LoggedLayer[] }[] }
    const told = platforms[0]?.layers ?? []

    expect(name).toBe("fixed/app")
    expect(told.map(({ digest }) => digest)).toEqual(layers.map(({ digest }) => digest))
    const host = upstream.host
    expect(told.map(({ rule, from, sources }) => [rule, from, sources[0]])).toEqual([
      ["spec.baseRef", "base", `${host}/lab/base`],
      ["registry.staticLayer[0]", `image ${host}/lab/common:1`, `${host}/lab/common`],
      ["registry.staticLayer[1]", "dir certs", "dir certs"],
      ["spec.ideRef", `image ${host}/lab/ide:1`, `${host}/lab/ide`],
      ["spec.supervisorRef", `image ${host}/lab/supervisor:1`, `${host}/lab/supervisor`],
      ["spec.ideLayerRef[0]", `image ${host}/lab/plugin:1`, `${host}/lab/plugin`],
      ["spec.layers[0]", "files /etc/motd", "files /etc/motd"],
      ["spec.contentLayer[0]", "content", "content"],
    ])
  })

  test("from which source the bytes of a blob came, first and later", async () => {
    const answer = await facade.get("/v2/fixed/app/manifests/latest")
    const { layers } = (await answer.json()) as { layers: { digest: string }[] }
    const digest = layers[0]?.digest ?? ""
    const said = () =>
      facade.logs
        .filter((line) => line["digest"] === digest && /blob$/.test(String(line["message"])))
        .map(({ message, source, origin }) => [message, source, origin])
    const pull = async () => await (await facade.get(`/v2/fixed/app/blobs/${digest}`)).arrayBuffer()

    await pull()
    await until(() => said().length >= 2)
    expect(said()).toEqual([
      ["fetching blob", "upstream", `${upstream.host}/lab/base`],
      ["serving blob", "transfer", undefined],
    ])
    await until(async () => {
      await pull()
      return said().some(([, source]) => source === "disk")
    })
  })
})
