import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { type RunningFacade, startFacade } from "../helpers/facade.ts"
import { layer, sha256, type TestLayer } from "../helpers/images.ts"
import type { ManifestJson } from "../helpers/oci-layout.ts"
import { tempDir } from "../helpers/temp-dir.ts"

setDefaultTimeout(30_000)

/** What the layers of an image are made of that no registry has. */
describe("a pull that goes on at another process", () => {
  const dir = tempDir()
  let archive: TestLayer
  let server: Bun.Server<undefined>
  let specs: unknown
  const running: RunningFacade[] = []
  const start = async () => {
    const facade = await startFacade({ mode: "binary", dir, specs })
    running.push(facade)
    return facade
  }

  beforeAll(async () => {
    archive = await layer({ "a.txt": "a" }, "plain")
    server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response(archive.bytes) })
    const url = {
      url: `http://127.0.0.1:${server.port}/a.tar`,
      digest: archive.digest,
      diffId: archive.diffID,
      mediaType: archive.mediaType,
      size: archive.size,
    }
    specs = { one: { baseRef: "scratch", layers: [url, { files: { "/c.txt": "c" } }] } }
  })
  afterAll(async () => {
    await Promise.all(running.map((facade) => facade.stop()))
    await server.stop(true)
  })

  test("gets layers of URLs and files, whether they are in the store yet or not", async () => {
    const first = await start()
    const manifest = (await (await first.get("/v2/fixed/one/manifests/latest")).json()) as ManifestJson
    const second = await start()
    const blobs = await Promise.all(
      manifest.layers.map(async ({ digest }) => {
        const answer = await second.get(`/v2/fixed/one/blobs/${digest}`)
        return [answer.status, sha256(new Uint8Array(await answer.arrayBuffer()))]
      }),
    )

    expect(blobs).toEqual(manifest.layers.map(({ digest }) => [200, digest]))
  })
})
