import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { createBuildah } from "../helpers/buildah.ts"
import { runIn } from "../helpers/bundle.ts"
import { describeContainerd } from "../helpers/containerd.ts"
import { crawl } from "../helpers/crawl.ts"
import type { RunningFacade } from "../helpers/facade.ts"
import { DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST } from "../helpers/images.ts"
import {
  ENTRYPOINT,
  FOREIGN,
  FORMS,
  FORMS_WITHOUT_ZSTD,
  type Lab,
  labNeeds,
  NATIVE,
  programOutput,
  skopeo,
  specOf,
  startLab,
  startLabFacade,
} from "../helpers/lab.ts"
import type { ConfigJson, ManifestJson } from "../helpers/oci-layout.ts"
import { needs, output } from "../helpers/programs.ts"
import { tempDir } from "../helpers/temp-dir.ts"

setDefaultTimeout(60_000)

const required = labNeeds()
describe.skipIf(required.isMissing)(`an image of two platforms${required.note}`, () => {
  let lab: Lab
  let facade: RunningFacade
  const reference = (name: string) => `${facade.host}/fixed/${name}:latest`
  const inspect = async (name: string, ...flags: readonly string[]) =>
    JSON.parse(
      await output(skopeo(...flags, "inspect", "--tls-verify=false", "--config", `docker://${reference(name)}`)),
    )

  beforeAll(async () => {
    lab = await startLab()
    const gzipped = [{ file: "layers/gzip.tar.gz" }, { image: lab.bases.addon }]
    facade = await startLabFacade({
      multi: await specOf(lab.bases.multi, lab, FORMS),
      "multi-docker": await specOf(lab.bases.multiDocker, lab, FORMS_WITHOUT_ZSTD),
      gzipped: { ...(await specOf(lab.bases.multi, lab, [])), layers: gzipped, contentLayer: [] },
      narrowed: { baseRef: lab.bases.multi, layers: [{ image: lab.bases.nativeAddon }] },
    })
  })
  afterAll(async () => {
    await facade?.stop()
    await lab?.stop()
  })

  test.each([
    ["multi", OCI_INDEX, OCI_MANIFEST],
    ["multi-docker", DOCKER_LIST, DOCKER_MANIFEST],
    ["gzipped", OCI_INDEX, OCI_MANIFEST],
  ])("%s: everything that its index names is there, in one format", async (name, indexType, manifestType) => {
    const { configs, manifests } = await crawl(facade, name)

    expect(manifests.map(({ mediaType }) => mediaType)).toEqual([indexType, manifestType, manifestType])
    expect(manifests[0]?.manifests?.map(({ platform }) => platform?.architecture)).toEqual([NATIVE, FOREIGN])
    expect(configs.map(({ architecture }) => architecture)).toEqual([NATIVE, FOREIGN])
    for (const [index, { rootfs }] of configs.entries()) {
      expect(rootfs.diff_ids).toHaveLength(manifests[index + 1]?.layers.length ?? 0)
    }
  })

  test("a platform that an added image lacks is left out of the index", async () => {
    const { manifests } = await crawl(facade, "narrowed")

    expect(manifests[0]?.manifests?.map(({ platform }) => platform?.architecture)).toEqual([NATIVE])
  })

  test.each([NATIVE, FOREIGN])("skopeo gets %s when it asks for it", async (architecture) => {
    const config: ConfigJson = await inspect("multi", "--override-arch", architecture)

    expect(config.architecture).toBe(architecture)
    expect(config.config.Env).toContain("SOURCE=spec")
  })

  test("skopeo copies all of it without changing a byte, and another registry accepts it", async () => {
    const dir = tempDir()
    const copy = skopeo("copy", "--all", "--preserve-digests", "--src-tls-verify=false", "--dest-tls-verify=false")
    const { digest } = await crawl(facade, "multi")

    await output([...copy, `docker://${reference("multi")}`, `oci:${dir}:1`])
    const index: ManifestJson = JSON.parse(readFileSync(join(dir, "index.json"), "utf8"))
    expect(index.manifests?.map((entry) => entry.digest)).toEqual([digest])

    const pushed = `${lab.registry.host}/copies/multi:1`
    await output([...copy, `docker://${reference("multi")}`, `docker://${pushed}`])
    const answer = await fetch(`http://${lab.registry.host}/v2/copies/multi/manifests/1`, {
      headers: { accept: OCI_INDEX },
      proxy: "",
    })
    expect(answer.headers.get("docker-content-digest")).toBe(digest)
  })

  describeContainerd("in containerd", (containerd) => {
    test.each(["multi", "multi-docker"])("%s is pulled for this machine, and runs", async (name) => {
      expect(await containerd().pull(reference(name))).toMatchObject({ code: 0 })
      const rootfs = await containerd().mount(reference(name))
      const { config }: ConfigJson = await inspect(name)

      const forms = name === "multi" ? FORMS : FORMS_WITHOUT_ZSTD
      expect((await runIn(rootfs, ENTRYPOINT, config.Env)).stdout).toBe(programOutput(forms))
    })

    test("the other platform is pulled when it is asked for, with the layers that are meant for it", async () => {
      const platform = `linux/${FOREIGN}`
      expect(await containerd().pull(reference("gzipped"), platform)).toMatchObject({ code: 0 })
      const rootfs = await containerd().mount(reference("gzipped"), platform)

      expect(readFileSync(join(rootfs, "usr/bin/foreign"), "utf8")).toBe(FOREIGN)
      expect(readFileSync(join(rootfs, "opt/addon/data.txt"), "utf8")).toBe(`addon for ${FOREIGN}\n`)
    })
  })

  const buildahNeeds = needs("buildah", "root")
  test.skipIf(buildahNeeds.isMissing).each([
    [NATIVE, "etc/debian_version"],
    [FOREIGN, "usr/bin/foreign"],
  ])(`buildah gets %s, whose base has %s${buildahNeeds.note}`, async (architecture, file) => {
    const buildah = createBuildah()
    expect(await buildah.pull(reference("multi"), architecture)).toMatchObject({ code: 0 })
    const rootfs = await buildah.mount(reference("multi"))

    expect((await buildah.config(reference("multi"))).architecture).toBe(architecture)
    expect(existsSync(join(rootfs, file))).toBe(true)
    expect(readFileSync(join(rootfs, "opt/addon/data.txt"), "utf8")).toBe(`addon for ${architecture}\n`)
  })

  const crane = needs("crane")
  test.skipIf(crane.isMissing)(`crane checks every layer of every platform${crane.note}`, async () => {
    await output(["crane", "validate", "--insecure", "--remote", reference("gzipped")])
    await output(["crane", "validate", "--fast", "--insecure", "--remote", reference("multi-docker")])
    expect((await output(["crane", "digest", "--insecure", reference("gzipped")])).trim()).toBe(
      (await crawl(facade, "gzipped")).digest,
    )
  })
})
