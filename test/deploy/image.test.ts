import { beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { version } from "../../package.json" with { type: "json" }
import { type Bundle, unpackBundle } from "../helpers/bundle.ts"
import { crawl } from "../helpers/crawl.ts"
import { startFacade } from "../helpers/facade.ts"
import { sha256 } from "../helpers/images.ts"
import { ROOT } from "../helpers/markdown.ts"
import { needs, output, startServer } from "../helpers/programs.ts"
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

  const mounts = needs("unshare", "mount", "chroot")
  test.skipIf(mounts.isMissing)(`serves a pull from a root that nobody can write to${mounts.note}`, async () => {
    const { args, env, rootfs } = bundle
    const specs = { hello: { baseRef: "scratch", layers: [{ files: { "/etc/motd": "hello" } }] } }
    const registry = { host: "127.0.0.1", port: 0, store: "/store", fixedSpecFN: "specs.json" }
    mkdirSync(join(rootfs, "config"))
    mkdirSync(join(rootfs, "store"))
    writeFileSync(join(rootfs, "config/specs.json"), JSON.stringify(specs))
    writeFileSync(join(rootfs, "config/config.json"), JSON.stringify({ registry, shutdown: { delay: "0" } }))
    const script = [
      `mount --bind '${rootfs}' '${rootfs}'`,
      `mount -t proc proc '${rootfs}/proc'`,
      `mount -t tmpfs -o uid=65532,gid=65532,mode=700 tmpfs '${rootfs}/store'`,
      `mount -o remount,bind,ro '${rootfs}'`,
      `exec env -i ${env.join(" ")} "$(command -v chroot)" --userspec=65532:65532 '${rootfs}' ${args.join(" ")}`,
    ]
    const ready = /registry server listening.*"addr":"(127\.0\.0\.1:\d+)"/
    const { match, stop } = await startServer(["unshare", "--mount", "sh", "-ec", script.join("\n")], ready)
    const url = `http://${match[1]}/v2/fixed/hello`
    const { config, layers } = JSON.parse(await (await fetch(`${url}/manifests/latest`)).text())
    const blobs = [config, ...layers].map(async ({ digest }) =>
      sha256(await (await fetch(`${url}/blobs/${digest}`)).bytes()),
    )

    expect(await Promise.all(blobs).finally(stop)).toEqual([config, ...layers].map(({ digest }) => digest))
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
