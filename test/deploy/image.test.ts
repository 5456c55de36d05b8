import { beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { version } from "../../package.json" with { type: "json" }
import { type Bundle, unpackBundle } from "../helpers/bundle.ts"
import { crawl } from "../helpers/crawl.ts"
import { startFacade } from "../helpers/facade.ts"
import { ROOT } from "../helpers/markdown.ts"
import { needs, output } from "../helpers/programs.ts"
import { tempDir } from "../helpers/temp-dir.ts"

setDefaultTimeout(300_000)

const required = needs("umoci", "runc", "apt-get", "dpkg", "skopeo", "root")
describe.skipIf(required.isMissing)(`the container image of the build${required.note}`, () => {
  const layout = tempDir()
  let bundle: Bundle

  beforeAll(async () => {
    await output([process.execPath, "build.ts", "--oci", layout], { cwd: ROOT })
    const single = tempDir()
    await output(["skopeo", "--insecure-policy", "copy", `oci:${layout}:latest`, `oci:${single}:latest`])
    bundle = await unpackBundle(single, "latest", tempDir())
  })

  test("starts the program as a user without rights", async () => {
    const { code, stdout, stderr } = await bundle.start([...bundle.args.slice(0, 1), "version"])
    const { process } = JSON.parse(await Bun.file(`${bundle.rootfs}/../config.json`).text())

    expect([code, stderr]).toEqual([0, ""])
    expect(stdout).toStartWith(`registry-facade ${version} (commit `)
    expect(process.user).toMatchObject({ uid: 65_532, gid: 65_532 })
    expect(bundle.args).toEqual(["/app/registry-facade", "run", "/config/config.json"])
  })

  test("has certificates and no shell", () => {
    expect(bundle.read("etc/ssl/certs/ca-certificates.crt")).toContain("BEGIN CERTIFICATE")
    expect(["bin/sh", "usr/bin/sh", "bin/bash", "usr/bin/dpkg"].filter(bundle.has)).toEqual([])
  })

  test("is there for both architectures, and can itself be composed with", async () => {
    const facade = await startFacade({
      mode: "binary",
      specs: { self: { baseRef: `oci:${layout}:latest`, layers: [{ files: { "/config/config.json": "{}" } }] } },
    })
    const { configs } = await crawl(facade, "self").finally(() => facade.stop())

    expect(configs.map(({ architecture }) => architecture).sort()).toEqual(["amd64", "arm64"])
    expect(configs.map(({ rootfs }) => rootfs.diff_ids.length)).toEqual([3, 3])
  })
})
