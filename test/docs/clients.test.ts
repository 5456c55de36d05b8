import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { startContainerd } from "../helpers/containerd.ts"
import { type RunningFacade, startFacade } from "../helpers/facade.ts"
import { fencesOf, readPage } from "../helpers/markdown.ts"
import { needs, output } from "../helpers/programs.ts"
import { tempDir } from "../helpers/temp-dir.ts"

setDefaultTimeout(30_000)

const files = fencesOf(readPage("docs/clients.md")).filter(({ language }) => language === "toml")

describe("docs/clients.md", () => {
  let facade: RunningFacade
  /** The page's file for a client, with the port that the facade has here. */
  const fileFor = (client: string): string =>
    (files.find(({ heading }) => heading.includes(client))?.text ?? "").replaceAll("127.0.0.1:31750", facade.host)

  beforeAll(async () => {
    const specs = { hello: { baseRef: "scratch", layers: [{ files: { "/etc/motd": "hello" } }] } }
    facade = await startFacade({ specs })
  })
  afterAll(async () => await facade.stop())

  const runtime = needs("root", "containerd", "ctr")
  test.skipIf(runtime.isMissing)(`configures containerd${runtime.note}`, async () => {
    const dir = tempDir()
    mkdirSync(join(dir, "facade.internal"))
    writeFileSync(join(dir, "facade.internal/hosts.toml"), fileFor("containerd"))
    const containerd = await startContainerd()
    const pull = ["ctr", "images", "pull", "--hosts-dir", dir, "facade.internal/fixed/hello:latest"]

    expect(await output(pull, { env: containerd.env })).toContain("done")
    await containerd.stop()
  })

  const client = needs("skopeo")
  test.skipIf(client.isMissing)(`configures what shares Podman's libraries${client.note}`, async () => {
    const file = join(tempDir(), "registries.conf")
    writeFileSync(file, fileFor("Podman"))
    const skopeo = ["skopeo", "--registries-conf", file, "inspect", "--no-tags", "--format", "{{.Digest}}"]

    const found = await output([...skopeo, "docker://facade.internal/fixed/hello"])
    const served = await facade.get("/v2/fixed/hello/manifests/latest")
    expect(found.trim()).toBe(served.headers.get("docker-content-digest") ?? "")
  })
})
