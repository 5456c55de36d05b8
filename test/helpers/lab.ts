import { chmodSync, mkdirSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { debianLayer } from "./debian.ts"
import { type DockerRegistry, startDockerRegistry } from "./docker-registry.ts"
import { type FacadeOptions, type RunningFacade, startFacade } from "./facade.ts"
import { image, index, layer, platform, type TestImage, type TestIndex, tar } from "./images.ts"
import { findProgram, needs, output, type Requirement } from "./programs.ts"
import { tempDir } from "./temp-dir.ts"

/** The machine's architecture, whose images can be started, and one that they are told apart from. */
export const NATIVE = process.arch === "arm64" ? "arm64" : "amd64"
export const FOREIGN = NATIVE === "arm64" ? "amd64" : "arm64"

/** What everything in the lab needs; clients come on top. */
export const labNeeds = (...clients: readonly string[]): Requirement =>
  needs("docker-registry", "skopeo", "apt-get", "dpkg", "tar", "zstd", ...clients)

export interface Lab {
  readonly registry: DockerRegistry
  readonly bases: Readonly<Record<"oci" | "docker" | "multi" | "multiDocker" | "addon" | "nativeAddon", string>>
  stop(): Promise<void>
}

/** A registry with images to compose from: a small Debian in several forms, and an image to add to it. */
export async function startLab(): Promise<Lab> {
  const registry = await startDockerRegistry()
  const debian = await debianImage()
  const multi = index([
    [debian, platform(NATIVE)],
    [await foreignImage(), platform(FOREIGN)],
  ])
  const bases = {
    oci: await registry.push("lab/debian", "oci", debian),
    docker: await registry.push("lab/debian", "docker", debian, "v2s2"),
    multi: await registry.push("lab/debian", "multi", multi),
    multiDocker: await registry.push("lab/debian", "multi-docker", multi, "v2s2"),
    addon: await registry.push("lab/addon", "1", await addonIndex([NATIVE, FOREIGN])),
    nativeAddon: await registry.push("lab/addon", "native", await addonIndex([NATIVE])),
  }
  return { registry, bases, stop: registry.stop }
}

const SETTINGS = {
  Env: ["PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8", "DROPPED=1"],
  Cmd: ["bash"],
  Labels: { "lab.base": "yes", "lab.changed": "no" },
}

async function debianImage(): Promise<TestImage> {
  const history = [
    { created: "2024-01-02T03:04:05Z", created_by: "packages" },
    { created: "2024-01-02T03:04:05Z", created_by: "ENV", empty_layer: true },
  ]
  return await image({
    layers: [await debianLayer()],
    architecture: NATIVE,
    settings: SETTINGS,
    config: { history },
  })
}

const foreignImage = async (): Promise<TestImage> =>
  await image({
    layers: [await layer({ "usr/bin/foreign": FOREIGN })],
    architecture: FOREIGN,
    settings: SETTINGS,
  })

/** Its first layer is to be skipped, and it asks for changes to the environment. */
async function addonIndex(architectures: readonly string[]): Promise<TestIndex> {
  const skipped = await layer({ "skipped.txt": "must not be there\n" })
  const Env = [
    "GITPOD_ENV_SET_ADDON=yes",
    "GITPOD_ENV_APPEND_PATH=/opt/addon/bin:",
    "GITPOD_ENV_PREPEND_PATH=:/opt/addon/late",
    "OWN=stays out",
  ]
  const settings = { Env, Labels: { "skip-n.registry-facade.gitpod.io": "1" } }
  const images = architectures.map(async (architecture) => {
    const layers = [skipped, await layer({ "opt/addon/data.txt": `addon for ${architecture}\n` })]
    return [await image({ layers, architecture, settings }), platform(architecture)] as const
  })
  return index(await Promise.all(images))
}

const PROGRAM = `#!/bin/bash
set -eu
echo "$SOURCE $ADDON $EXTRA $* $PATH"
cat /etc/motd /opt/addon/data.txt /content.txt /layers/*.txt
on-path
`

export const ENTRYPOINT = ["/opt/tool/program.sh", "one", "two"] as const

/** What the program prints in every image that was made of `specs`; `forms` are the archives that it got. */
export const programOutput = (forms: readonly string[]): string =>
  [
    "spec yes default one two /opt/tool:/opt/addon/bin:/usr/local/bin:/usr/bin:/bin:/opt/addon/late",
    "made while it is pulled",
    `addon for ${NATIVE}`,
    "content",
    ...forms.toSorted(),
    "made by bash",
    "",
  ].join("\n")

/** Every kind of layer, and changes to the configuration; `forms` are the archives that it adds. */
export async function specOf(baseRef: string, lab: Lab, forms: readonly string[]) {
  return {
    baseRef,
    layers: [
      ...forms.map((form) => ({ file: `layers/${form}` })),
      { dir: "tools" },
      { files: { "/etc/motd": "made while it is pulled\n" } },
      { image: lab.bases.addon },
    ],
    contentLayer: [{ direct: { content: Buffer.from(await tar({ "content.txt": "content\n" })).toString("base64") } }],
    config: {
      env: {
        set: { SOURCE: "spec" },
        default: { LANG: "not this", EXTRA: "default" },
        prependPath: { PATH: "/opt/tool" },
        unset: ["DROPPED"],
      },
      entrypoint: ENTRYPOINT.slice(0, 1),
      cmd: ENTRYPOINT.slice(1),
      labels: { "lab.changed": "yes", "lab.added": "yes" },
    },
  }
}

export const FORMS = ["plain.tar", "gzip.tar.gz", "zstd.tar.zst"] as const
export const FORMS_WITHOUT_ZSTD = ["plain.tar", "gzip.tar.gz"] as const

/** Writes the files that specs name: archives in every form, and a directory. */
async function writeLayers(dir: string): Promise<void> {
  const write = (path: string, content: Uint8Array | string, mode = 0o644) => {
    mkdirSync(dirname(join(dir, path)), { recursive: true })
    writeFileSync(join(dir, path), content)
    chmodSync(join(dir, path), mode)
  }
  for (const form of FORMS) write(`layers/${form}`, await tar({ [`layers/${form}.txt`]: `${form}\n` }))
  // Made by the programs that people make them with
  await output(["gzip", "-n", "-f", "-S", ".new", join(dir, "layers/gzip.tar.gz")])
  await output(["mv", join(dir, "layers/gzip.tar.gz.new"), join(dir, "layers/gzip.tar.gz")])
  await output(["zstd", "-q", "--rm", join(dir, "layers/zstd.tar.zst"), "-o", join(dir, "layers/zstd.new")])
  await output(["mv", join(dir, "layers/zstd.new"), join(dir, "layers/zstd.tar.zst")])
  write("tools/opt/tool/program.sh", PROGRAM, 0o755)
  write("tools/usr/bin/on-path", "#!/bin/bash\necho made by bash\n", 0o755)
}

/** The compiled facade in a directory with the lab's layers. */
export async function startLabFacade(specs: unknown, options: FacadeOptions = {}): Promise<RunningFacade> {
  const dir = options.dir ?? tempDir()
  await writeLayers(dir)
  return await startFacade({ mode: "binary", ...options, dir, specs })
}

export const skopeo = (...args: readonly string[]): readonly string[] => [
  findProgram("skopeo") ?? "skopeo",
  "--insecure-policy",
  ...args,
]
