import { afterAll, afterEach, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { describeContainerd } from "../helpers/containerd.ts"
import { type RunningFacade, startFacade } from "../helpers/facade.ts"
import { image, layer } from "../helpers/images.ts"
import { skopeo } from "../helpers/lab.ts"
import { needs, run } from "../helpers/programs.ts"
import { tempDir } from "../helpers/temp-dir.ts"
import { until } from "../helpers/until.ts"
import { startUpstream, type UpstreamServer } from "../helpers/upstream-server.ts"

setDefaultTimeout(60_000)

const DIFF_ID = `sha256:${"0".repeat(64)}`

/** By name: what its spec adds to or changes of an image that is good. HOST stands for the upstream. */
const SPECS: Readonly<Record<string, object>> = {
  good: {},
  "no-base": { baseRef: "HOST/lab/none:1" },
  "no-platform": { platforms: ["linux/s390x"] },
  "no-layout": { baseRef: "oci:nowhere" },
  "no-file": { layers: [{ file: "none.tar" }] },
  "no-tar": { layers: [{ file: "no.tar" }] },
  "cut-tar": { layers: [{ file: "cut.tar" }] },
  "cut-gzip": { layers: [{ file: "cut.tar.gz" }] },
  "no-content": { contentLayer: [{ direct: { content: "bm8gdGFy" } }] },
  "wrong-base": { baseRef: "HOST/lab/wrong:1" },
  "wrong-addon": { layers: [{ image: "HOST/lab/wrong:1" }] },
  html: { baseRef: "HOST/lab/html:1" },
  lying: { baseRef: "HOST/lab/lying:1" },
}

/** Name, status, and what the user is told. */
const FAULTS: readonly (readonly [string, number, string])[] = [
  ["no-base", 404, "Cannot find image HOST/lab/none:1: HOST answered 404, it has no such image"],
  ["no-platform", 404, "it has no platform linux/s390x, available: linux/amd64"],
  ["no-layout", 502, "nowhere: the directory is no OCI image layout"],
  ["no-file", 500, "Cannot add layer file none.tar: there is no file "],
  ["no-tar", 500, "Cannot add layer file no.tar: it is no tar archive"],
  ["cut-tar", 500, "Cannot add layer file cut.tar: the archive is cut off"],
  ["cut-gzip", 500, "Cannot add layer file cut.tar.gz: "],
  ["no-content", 500, "Cannot add layer content: it is no tar archive"],
  ["wrong-base", 502, "Cannot use image HOST/lab/wrong:1: it has 1 layer but 2 diff_ids"],
  ["wrong-addon", 502, "Cannot use image HOST/lab/wrong:1: it has 1 layer but 2 diff_ids"],
  ["html", 502, "Cannot get manifest HOST/lab/html:1: HOST sent something that is no manifest, it is a web page"],
]

const required = needs("skopeo")
describe.skipIf(required.isMissing)(`an image that cannot be made${required.note}`, () => {
  let upstream: UpstreamServer
  let facade: RunningFacade
  const told = (message: string) => message.replaceAll("HOST", upstream.host)
  const inspect = async (name: string) =>
    await run(skopeo("inspect", "--tls-verify=false", `docker://${facade.host}/fixed/${name}:latest`))

  beforeAll(async () => {
    upstream = startUpstream()
    upstream.add("lab/good", "1", await image())
    const rootfs = { type: "layers", diff_ids: [DIFF_ID, DIFF_ID] }
    upstream.add("lab/wrong", "1", await image({ config: { rootfs } }))
    upstream.add("lab/lying", "1", await image({ config: { rootfs: { type: "layers", diff_ids: [DIFF_ID] } } }))
    upstream.roles.push((_, { pathname }) =>
      pathname.startsWith("/v2/lab/html/")
        ? new Response("<html>Please log in</html>", { headers: { "content-type": "text/html" } })
        : null,
    )
    const dir = tempDir()
    const files = { "a.txt": "a".repeat(5000) }
    writeFileSync(join(dir, "no.tar"), "this is no archive\n".repeat(100))
    writeFileSync(join(dir, "cut.tar"), (await layer(files, "plain")).bytes.subarray(0, 3000))
    writeFileSync(join(dir, "cut.tar.gz"), (await layer(files, "gzip")).bytes.subarray(0, -10))
    const specs = Object.entries(SPECS).map(([name, spec]) => [name, { baseRef: "HOST/lab/good:1", ...spec }])
    const text = JSON.stringify(Object.fromEntries(specs)).replaceAll("HOST", upstream.host)
    facade = await startFacade({ mode: "binary", dir, specs: JSON.parse(text) })
  })
  afterEach(async () => {
    expect(await inspect("good")).toMatchObject({ code: 0 })
  })
  afterAll(async () => {
    await facade.stop()
    upstream.stop()
  })

  test.each(FAULTS)("%s is answered with %d and says why", async (name, status, message) => {
    const response = await facade.get(`/v2/fixed/${name}/manifests/latest`)
    const { errors } = (await response.json()) as { errors: { message: string }[] }

    expect([response.status, errors[0]?.message]).toEqual([status, expect.stringContaining(told(message))])
    expect(response.headers.get("warning") ?? "").toContain(status >= 500 ? told(message) : "")
  })

  test.each(FAULTS)("skopeo fails on %s, and prints as much as it does of a %d", async (name, status, message) => {
    const { code, stderr } = await inspect(name)

    expect(code).toBe(1)
    expect(stderr).toContain(status < 500 ? told(message) : `received unexpected HTTP status: ${status}`)
  })

  describeContainerd("in containerd", (containerd) => {
    test.each(FAULTS)("%s fails with %d, and nothing of it is kept", async (name, status) => {
      const reference = `${facade.host}/fixed/${name}:latest`
      const { code, stderr } = await containerd().pull(reference)

      expect(code).toBe(1)
      expect(stderr).toContain(reference)
      expect(stderr).toContain(status === 404 ? "not found" : `${status}`)
      expect(await containerd().images()).not.toContain(reference)
    })

    test("a base whose layer is not what its diff_id says stays refused", async () => {
      const { code, stderr } = await containerd().pull(`${facade.host}/fixed/lying:latest`)

      expect(stderr).toContain("wrong diff id")
      expect(code).toBe(1)
    })
  })

  const crane = needs("crane")
  test.skipIf(crane.isMissing)(`crane prints why, whatever the status${crane.note}`, async () => {
    const { code, stderr } = await run(["crane", "manifest", "--insecure", `${facade.host}/fixed/no-tar:latest`])

    expect(stderr).toContain("UNKNOWN: Cannot add layer file no.tar: it is no tar archive")
    expect(code).toBe(1)
  })

  test("specs that are broken later on are not used, and told of in the log; correct ones are", async () => {
    writeFileSync(join(facade.dir, "specs.json"), '{ "good": { "baseRef": "scratch", "layer": [] } }')
    expect(await inspect("good")).toMatchObject({ code: 0 })
    const isRefusal = (entry: Readonly<Record<string, unknown>>) =>
      entry["message"] === "cannot use changed file, the old one stays in use"
    await until(() => facade.logs.some(isRefusal)) // the binary writes its log when it gets to it
    const refused = facade.logs.find(isRefusal)
    expect(refused?.["error"]).toContain('good.layer: unknown key, did you mean "layers"?')

    facade.writeSpecs({ good: { baseRef: "scratch", config: { labels: { now: "new" } } } })
    expect(JSON.parse((await inspect("good")).stdout)).toMatchObject({ Labels: { now: "new" } })
    expect((await facade.get("/v2/fixed/no-tar/manifests/latest")).status).toBe(404)
  })
})

test("a facade without its upstream answers, and says which one it misses", async () => {
  const facade = await startFacade({ mode: "binary", specs: { down: { baseRef: "127.0.0.1:1/lab/down:1" } } })
  const response = await facade.get("/v2/fixed/down/manifests/latest")

  expect(response.status).toBe(503)
  expect(await response.text()).toContain("127.0.0.1:1")
  expect((await facade.get("/v2/")).status).toBe(200)
  await facade.stop()
})
