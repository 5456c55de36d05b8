import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { gzipSync } from "node:zlib"
import { type RunningFacade, startFacade } from "../helpers/facade.ts"
import { content, image, index, layer, OCI_LAYER, platform, type TestImage, tar } from "../helpers/images.ts"
import { fencesOf, readPage } from "../helpers/markdown.ts"
import type { ConfigJson, ManifestJson } from "../helpers/oci-layout.ts"
import { tempDir } from "../helpers/temp-dir.ts"
import { contentResponse, startUpstream, type UpstreamServer } from "../helpers/upstream-server.ts"

type Specs = Readonly<Record<string, unknown>>

const examples = fencesOf(readPage("docs/specs.md")).filter(({ language }) => language === "json")
const specs: Specs = Object.assign({}, ...examples.map(({ text }) => JSON.parse(text)))

interface Composed {
  readonly platforms: readonly string[]
  /** Of linux/amd64. */
  readonly settings: ConfigJson["config"] & { readonly User?: string; readonly WorkingDir?: string }
  /** How each layer came about. */
  readonly history: readonly string[]
}

const DEBIAN = "base layer 0"
const PATH = "PATH=/usr/bin:/bin"
const FROM = "registry-facade: "

/** What each example has to come to. */
const EXPECTED: Readonly<Record<string, Partial<Composed>>> = {
  hello: { platforms: ["linux/amd64", "linux/arm64", "linux/s390x"], history: [DEBIAN, `${FROM}files /etc/motd`] },
  "debian-corp": {
    settings: {
      Env: [PATH, "DEBIAN_FRONTEND=noninteractive", "NODE_EXTRA_CA_CERTS=/etc/ssl/certs/corp.pem"],
      Cmd: ["sh"],
    },
    history: [DEBIAN, `${FROM}dir certs to /etc/ssl/certs`, `${FROM}config`],
  },
  shop: {
    platforms: ["linux/amd64", "linux/arm64"],
    settings: {
      Env: [PATH],
      Cmd: ["nginx", "-g", "daemon off;"],
      Entrypoint: ["/opt/agent/bin/agent", "run", "--", "/docker-entrypoint.sh"],
    },
    history: [DEBIAN, `${FROM}image ghcr.io/acme/agent:1.4`, `${FROM}config`],
  },
  "workspaces/default": {
    platforms: ["linux/amd64"],
    settings: {
      Env: ["PATH=/ide/bin:/usr/bin:/bin:/ide/late", "DEBIAN_FRONTEND=noninteractive", "IDE=yes"],
      Cmd: ["sh"],
      WorkingDir: "/workspace",
    },
    history: [DEBIAN, "ide:1.93", "supervisor:2.1", "ide-plugins:7"]
      .map((name, place) => (place === 0 ? name : `${FROM}image ghcr.io/acme/${name}`))
      .concat(`${FROM}config`),
  },
  "shop-debug": {
    settings: {
      Env: [`${PATH}:/opt/debug/bin`],
      Cmd: ["nginx", "-g", "daemon off;"],
      Entrypoint: ["/docker-entrypoint.sh"],
      User: "0",
    },
  },
  "workspaces/42": {
    history: [DEBIAN, `${FROM}url https://downloads.example.com/workspaces/42.tar`, `${FROM}content`],
  },
  tuned: {
    settings: {
      Env: ["PATH=/opt/acme/bin:/usr/bin:/bin", "TZ=Europe/Berlin", "LANG=C.UTF-8", "MANPATH=/opt/acme/man"],
      Cmd: ["sh"],
    },
  },
  "nginx/check": { settings: { Env: [PATH], Cmd: ["nginx", "-t"], Entrypoint: ["/docker-entrypoint.sh"] } },
  "nginx/shell": { settings: { Env: [PATH], Entrypoint: ["/usr/bin/bash"] } },
  "nginx/plain": { settings: { Env: [PATH], Cmd: ["nginx", "-g", "daemon off;"] } },
  tool: {
    platforms: ["linux/amd64"],
    settings: { Entrypoint: ["/tool"], Labels: { "org.opencontainers.image.title": "tool" } },
    history: [`${FROM}file static-tool.tar`, `${FROM}files /etc/tool.conf`, `${FROM}config`],
  },
  two: { platforms: ["linux/amd64", "linux/arm64"] },
  "with-tool": { history: [DEBIAN, `${FROM}url https://downloads.example.com/tool-3.2.tar`] },
}

describe("docs/specs.md", () => {
  let upstream: UpstreamServer
  let facade: RunningFacade

  beforeAll(async () => {
    upstream = startUpstream()
    await fillUpstream(upstream)
    const dir = tempDir()
    await writeLayers(dir)
    const local = JSON.stringify(specs).replaceAll(/https:\/\/downloads\.example\.com/g, upstream.url.origin)
    const mirrors = { mirrors: [upstream.url.origin] }
    const registry = { upstreams: { "docker.io": mirrors, "ghcr.io": mirrors }, defaultPlatform: "linux/amd64" }
    facade = await startFacade({ dir, specs: JSON.parse(local), registry })
  })
  afterAll(async () => {
    await facade.stop()
    upstream.stop()
  })

  test("has ten examples, and this test knows what comes of each", () => {
    const numbered = new Set(examples.map(({ heading }) => heading).filter((heading) => /^\d+\. /.test(heading)))

    expect(numbered.size).toBe(10)
    expect(Object.keys(specs).sort()).toEqual(Object.keys(EXPECTED).sort())
  })

  test.each(Object.entries(EXPECTED))("%s is composed as it says", async (name, expected) => {
    expect(await read(facade, name, upstream.url.origin)).toMatchObject(expected)
  })
})

async function read(facade: RunningFacade, name: string, origin: string): Promise<Composed> {
  const json = async <Value>(path: string): Promise<Value> => {
    const response = await facade.get(`/v2/fixed/${name}/${path}`)
    if (!response.ok) throw new Error(await response.text())
    return (await response.json()) as Value
  }
  const root = await json<ManifestJson>("manifests/latest")
  const entries = root.manifests ?? []
  const amd64 = entries.find((entry) => entry.platform?.architecture === "amd64")
  const manifest = amd64 === undefined ? root : await json<ManifestJson>(`manifests/${amd64.digest}`)
  const config = await json<ConfigJson>(`blobs/${manifest.config.digest}`)
  for (const { digest, size } of manifest.layers) {
    const blob = await facade.get(`/v2/fixed/${name}/blobs/${digest}`)
    expect((await blob.bytes()).byteLength).toBe(size)
  }
  const platforms = entries.map((entry) => `${entry.platform?.os}/${entry.platform?.architecture}`)
  return {
    platforms: root.manifests === undefined ? [`linux/${config.architecture}`] : platforms,
    settings: config.config,
    history: config.history.map(({ created_by = "" }) => created_by.replace(origin, "https://downloads.example.com")),
  }
}

/** The images that the page names, and what is to be downloaded. */
async function fillUpstream(upstream: UpstreamServer): Promise<void> {
  const set = async (architectures: readonly string[], settings: Specs, files: Readonly<Record<string, string>>) => {
    const images = architectures.map(async (architecture) => {
      const made: TestImage = await image({ architecture, settings, layers: [await layer({ ...files, architecture })] })
      return [made, platform(architecture)] as const
    })
    return index(await Promise.all(images))
  }
  const debian = { Env: [PATH, "DEBIAN_FRONTEND=noninteractive"] }
  const nginx = { Entrypoint: ["/docker-entrypoint.sh"], Cmd: ["nginx", "-g", "daemon off;"] }
  const ide = {
    Env: ["GITPOD_ENV_APPEND_PATH=/ide/bin:", "GITPOD_ENV_PREPEND_PATH=:/ide/late", "GITPOD_ENV_SET_IDE=yes"],
  }
  upstream.add("library/debian", "12", await set(["amd64", "arm64", "s390x"], debian, { debian: "" }))
  upstream.add("library/nginx", "1.27", await set(["amd64", "arm64", "s390x"], nginx, { nginx: "" }))
  upstream.add("acme/agent", "1.4", await set(["arm64", "amd64"], {}, { "opt/agent/bin/agent": "" }))
  upstream.add("acme/ide", "1.93", await set(["amd64"], ide, { "ide/bin/ide": "" }))
  upstream.add("acme/supervisor", "2.1", await set(["amd64"], {}, { "supervisor/run": "" }))
  upstream.add("acme/ide-plugins", "7", await set(["amd64"], {}, { "ide/plugins": "" }))
  const downloads = new Map([
    ["/tool-3.2.tar", content(OCI_LAYER, await tar({ "usr/local/bin/tool": "#!/bin/sh\necho tool 3.2\n" }))],
    ["/workspaces/42.tar", content(OCI_LAYER, await tar({ "workspace/README.md": "# A workspace\n" }))],
  ])
  upstream.roles.push((request, { pathname }) => {
    const found = downloads.get(pathname)
    return found === undefined ? null : contentResponse(request, found)
  })
}

/** The files that the page's specs name. */
async function writeLayers(dir: string): Promise<void> {
  mkdirSync(join(dir, "certs"))
  writeFileSync(join(dir, "certs/ca-certificates.crt"), "certificates\n")
  writeFileSync(join(dir, "certs/corp.pem"), "certificate\n")
  writeFileSync(join(dir, "debug-tools.tar.gz"), gzipSync(await tar({ "opt/debug/bin/busybox": "" })))
  writeFileSync(join(dir, "static-tool.tar"), await tar({ tool: "" }))
}
