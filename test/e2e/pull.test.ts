import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { createBuildah } from "../helpers/buildah.ts"
import { runIn, unpackBundle } from "../helpers/bundle.ts"
import { type Containerd, startContainerd } from "../helpers/containerd.ts"
import { CONTAINERDS } from "../helpers/containerd-process.ts"
import { describeDocker } from "../helpers/docker.ts"
import type { RunningFacade } from "../helpers/facade.ts"
import { DOCKER_CONFIG, DOCKER_LAYER, DOCKER_MANIFEST, OCI_CONFIG, OCI_LAYER, OCI_MANIFEST } from "../helpers/images.ts"
import {
  ENTRYPOINT,
  FORMS,
  FORMS_WITHOUT_ZSTD,
  type Lab,
  labNeeds,
  programOutput,
  skopeo,
  specOf,
  startLab,
  startLabFacade,
} from "../helpers/lab.ts"
import { type ConfigJson, type ManifestJson, readLayout } from "../helpers/oci-layout.ts"
import { needs, output } from "../helpers/programs.ts"
import { tempDir } from "../helpers/temp-dir.ts"

setDefaultTimeout(60_000)

/** By name: the archives that the image gets. umoci knows no zstd, so there are images without. */
const IMAGES: Readonly<Record<string, readonly string[]>> = {
  "oci-base": FORMS_WITHOUT_ZSTD,
  "oci-base-zstd": FORMS,
  "docker-base": FORMS_WITHOUT_ZSTD,
  "docker-base-zstd": FORMS,
}
const NAMES = Object.keys(IMAGES)
const formsOf = (name: string) => IMAGES[name] ?? []

const OCI = { gzip: `${OCI_LAYER}+gzip`, plain: OCI_LAYER, zstd: `${OCI_LAYER}+zstd` }
const DOCKER = { gzip: DOCKER_LAYER, plain: DOCKER_LAYER.replace(".gzip", ""), zstd: "none" }

const required = labNeeds()
describe.skipIf(required.isMissing)(`a composed image${required.note}`, () => {
  let lab: Lab
  let facade: RunningFacade

  beforeAll(async () => {
    lab = await startLab()
    const base = (name: string) => (name.startsWith("docker") ? lab.bases.docker : lab.bases.oci)
    const specs = NAMES.map(async (name) => [name, await specOf(base(name), lab, formsOf(name))] as const)
    facade = await startLabFacade(Object.fromEntries(await Promise.all(specs)))
  })
  afterAll(async () => {
    await facade?.stop()
    await lab?.stop()
  })

  test.each([
    ["oci-base", OCI_MANIFEST, OCI_CONFIG, OCI],
    ["oci-base-zstd", OCI_MANIFEST, OCI_CONFIG, OCI],
    ["docker-base", DOCKER_MANIFEST, DOCKER_CONFIG, DOCKER],
    ["docker-base-zstd", OCI_MANIFEST, OCI_CONFIG, OCI], // Docker's format has no name for zstd
  ])("%s is in one format, and says how each layer is compressed", async (name, manifestType, configType, types) => {
    const manifest = JSON.parse(await skopeoInspect(facade, name, "--raw")) as ManifestJson
    const archives = formsOf(name).map((form) => types[(form.split(".")[0] ?? "plain") as keyof typeof types])

    expect([manifest.mediaType, manifest.config.mediaType]).toEqual([manifestType, configType])
    expect(manifest.layers.map(({ mediaType }) => mediaType)).toEqual([
      types.gzip, // the base
      ...archives,
      types.plain, // the directory
      types.plain, // the files
      types.gzip, // the added image
      types.plain, // the content
    ])
    expect(manifest.annotations?.["org.opencontainers.image.base.name"]).toBe(
      name.startsWith("docker") ? lab.bases.docker : lab.bases.oci,
    )
  })

  test.each(NAMES)("C-5: %s is copied by skopeo with its configuration", async (name) => {
    const dir = tempDir()
    await output(
      skopeo("copy", "--src-tls-verify=false", `docker://${facade.host}/fixed/${name}:latest`, `oci:${dir}:1`),
    )
    const { config, manifest } = readLayout(dir)

    expectConfig(config, name, lab)
    expect(config.rootfs.diff_ids).toHaveLength(manifest.layers.length)
    expect(config.history.filter(({ empty_layer }) => empty_layer !== true)).toHaveLength(manifest.layers.length)
  })

  const unpacker = needs("umoci", "runc", "root")
  test.skipIf(unpacker.isMissing).each(NAMES.filter((name) => !formsOf(name).includes("zstd.tar.zst")))(
    `%s is unpacked by umoci and started by runc${unpacker.note}`,
    async (name) => {
      const dir = tempDir()
      await output(
        skopeo("copy", "--src-tls-verify=false", `docker://${facade.host}/fixed/${name}:latest`, `oci:${dir}/image:1`),
      )
      const bundle = await unpackBundle(join(dir, "image"), "1", join(dir, "bundle"))

      expect(bundle.args).toEqual([...ENTRYPOINT])
      expect(await bundle.start()).toEqual({ code: 0, stdout: programOutput(formsOf(name)), stderr: "" })
      expect([bundle.has("skipped.txt"), bundle.has("etc/debian_version")]).toEqual([false, true])
    },
  )

  const buildahNeeds = needs("buildah", "root")
  test.skipIf(buildahNeeds.isMissing).each(NAMES)(
    `%s is pulled by buildah, and runs${buildahNeeds.note}`,
    async (name) => {
      const buildah = createBuildah()
      const reference = `${facade.host}/fixed/${name}:latest`
      expect(await buildah.pull(reference)).toMatchObject({ code: 0 })
      const pulled = await buildah.config(reference)

      expectConfig(pulled, name, lab)
      expect(await runIn(await buildah.mount(reference), ENTRYPOINT, pulled.config.Env)).toEqual({
        code: 0,
        stdout: programOutput(formsOf(name)),
        stderr: "",
      })
    },
  )

  describeDocker("in docker", (run) => {
    const names = NAMES.filter((name) => !formsOf(name).includes("zstd.tar.zst"))
    test.each(names)("%s is pulled, and runs", async (name) => {
      const reference = `${facade.host}/fixed/${name}:latest`
      expect(await run("docker", "pull", "--quiet", reference)).toEqual({
        code: 0,
        stdout: `${reference}\n`,
        stderr: "",
      })

      const [pulled] = JSON.parse((await run("docker", "image", "inspect", reference)).stdout)
      const raw = await skopeoInspect(facade, name, "--raw")
      expect(pulled.Id).toBe((JSON.parse(raw) as ManifestJson).config.digest)
      expect(await run("docker", "run", "--rm", reference)).toEqual({
        code: 0,
        stdout: programOutput(formsOf(name)),
        stderr: "",
      })
    })
  })

  describe.each(CONTAINERDS)("in $daemon", (programs) => {
    const { isMissing, note } = needs(programs.daemon, programs.ctr, "root")
    let containerd: Containerd
    beforeAll(async () => {
      if (!isMissing) containerd = await startContainerd(programs)
    })
    afterAll(async () => await containerd?.stop())

    test.skipIf(isMissing).each(NAMES)(`C-3, D-25: %s is pulled and unpacked, and runs${note}`, async (name) => {
      const reference = `${facade.host}/fixed/${name}:latest`
      expect(await containerd.pull(reference)).toMatchObject({ code: 0 })
      const rootfs = await containerd.mount(reference)
      const { config } = JSON.parse(await skopeoInspect(facade, name, "--config")) as ConfigJson

      expect(readFileSync(join(rootfs, "layers/gzip.tar.gz.txt"), "utf8")).toBe("gzip.tar.gz\n")
      expect(await runIn(rootfs, ENTRYPOINT, config.Env)).toEqual({
        code: 0,
        stdout: programOutput(formsOf(name)),
        stderr: "",
      })
    })
  })

  test("skopeo lists the one tag, and tells what the image is", async () => {
    const listed = skopeo("list-tags", "--tls-verify=false", `docker://${facade.host}/fixed/oci-base`)
    const described = JSON.parse(await skopeoInspect(facade, "oci-base"))

    expect(JSON.parse(await output(listed))).toEqual({ Repository: `${facade.host}/fixed/oci-base`, Tags: ["latest"] })
    expect(described).toMatchObject({
      Name: `${facade.host}/fixed/oci-base`,
      Created: "2024-01-02T03:04:05Z",
      Labels: { "lab.added": "yes" },
      RepoTags: ["latest"],
    })
  })

  const crane = needs("crane")
  test.skipIf(crane.isMissing).each(NAMES)(`crane finds nothing wrong with %s${crane.note}`, async (name) => {
    // --fast, because crane takes every layer for gzip
    await output(["crane", "validate", "--fast", "--insecure", "--remote", `${facade.host}/fixed/${name}:latest`])
    expect(await output(["crane", "ls", "--insecure", `${facade.host}/fixed/${name}`])).toBe("latest\n")
  })
})

const skopeoInspect = async ({ host }: RunningFacade, name: string, ...flags: readonly string[]): Promise<string> =>
  await output(skopeo("inspect", "--tls-verify=false", ...flags, `docker://${host}/fixed/${name}:latest`))

function expectConfig({ config, history }: ConfigJson, name: string, lab: Lab): void {
  expect(config).toEqual({
    Env: [
      "PATH=/opt/tool:/opt/addon/bin:/usr/local/bin:/usr/bin:/bin:/opt/addon/late",
      "LANG=C.UTF-8",
      "ADDON=yes",
      "SOURCE=spec",
      "EXTRA=default",
    ],
    Entrypoint: [ENTRYPOINT[0]],
    Cmd: ENTRYPOINT.slice(1),
    Labels: { "lab.base": "yes", "lab.changed": "yes", "lab.added": "yes" },
  })
  expect(history.map(({ created_by }) => created_by)).toEqual([
    "packages",
    "ENV",
    ...formsOf(name).map((form) => `registry-facade: file layers/${form}`),
    "registry-facade: dir tools",
    "registry-facade: files /etc/motd",
    `registry-facade: image ${lab.bases.addon}`,
    "registry-facade: content",
    "registry-facade: config",
  ])
}
