import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { copyFileSync, mkdirSync, readlinkSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { gzipSync } from "node:zlib"
import { pack } from "tar-stream"
import { type Authority, createAuthority } from "../helpers/certificates.ts"
import { type Containerd, startContainerd } from "../helpers/containerd.ts"
import { CONTAINERDS } from "../helpers/containerd-process.ts"
import { type RunningFacade, startFacade } from "../helpers/facade.ts"
import {
  content,
  DOCKER_MANIFEST,
  image,
  layer,
  OCI_LAYER,
  OCI_MANIFEST,
  sha256,
  type TestImage,
  type TestLayer,
} from "../helpers/images.ts"
import { skopeo } from "../helpers/lab.ts"
import { needs, run } from "../helpers/programs.ts"
import { runBinary } from "../helpers/run-binary.ts"
import { SPEC_SERVER, type SpecAnswer, type SpecServer, startSpecServer } from "../helpers/spec-server.ts"
import { tempDir } from "../helpers/temp-dir.ts"
import { until } from "../helpers/until.ts"
import { startUpstream, type UpstreamServer } from "../helpers/upstream-server.ts"

setDefaultTimeout(30_000)

interface Manifest {
  readonly mediaType?: string
  readonly config: { readonly digest: string }
  readonly layers: readonly { readonly digest: string; readonly size: number }[]
  readonly annotations: Readonly<Record<string, string>>
}

interface ImageConfig {
  readonly config: { readonly Env: readonly string[] }
  readonly rootfs: { readonly diff_ids: readonly string[] }
}

/** The parts of a system that images of tools must leave as they are. */
async function systemLayer(): Promise<TestLayer> {
  const archive = pack()
  const owner = { uid: 1234, gid: 1234, mtime: new Date(0) }
  archive.entry({ name: "usr/bin/", type: "directory", mode: 0o751, ...owner })
  archive.entry({ name: "usr/local/", type: "directory", mode: 0o755, ...owner })
  archive.entry({ name: "usr/local/bin", type: "symlink", linkname: "../bin", ...owner })
  archive.finalize()
  const plain = new Uint8Array(await new Response(archive as unknown as ReadableStream).arrayBuffer())
  return { ...content(`${OCI_LAYER}+gzip`, gzipSync(plain)), diffID: sha256(plain) }
}

const named = async (name: string) => await layer({ [name]: name })

/** The images of a workspace platform, small. */
async function platformImages(): Promise<Readonly<Record<string, TestImage>>> {
  const settings = { Env: ["PATH=/usr/bin", "BASE=1"] }
  const dockerUp = { Labels: { "skip-n.registry-facade.gitpod.io": "2" } }
  const ide = {
    Env: [
      "PATH=/of/the/ide",
      "GITPOD_ENV_APPEND_PATH=/ide/bin:",
      "GITPOD_ENV_PREPEND_PATH=:/ide/late",
      "GITPOD_ENV_SET_EDITOR=code --wait",
      "OWN=stays out",
    ],
  }
  return {
    workspace: await image({ layers: [await systemLayer(), await named("base-2")], settings }),
    "workspace-docker": await image({ layers: [await layer({ docker: "1" }, "docker")], settings, family: "docker" }),
    supervisor: await image({ layers: [await named("supervisor-1"), await named("supervisor-2")] }),
    workspacekit: await image({ layers: [await named("workspacekit")] }),
    "docker-up": await image({
      layers: [await layer({ "usr/bin/": "" }), await layer({ "usr/local/bin/": "" }), await named("docker-up")],
      settings: dockerUp,
    }),
    ide: await image({ layers: [await named("ide")], settings: ide }),
    plugin: await image({ layers: [await named("plugin")] }),
    broken: await image({
      layers: [await named("x")],
      settings: { Labels: { "skip-n.registry-facade.gitpod.io": "-10" } },
    }),
  }
}

/** As a registry asks for the pull secret: nothing without it. */
function requireLogin({ roles }: UpstreamServer, login: string): void {
  const expected = `Basic ${Buffer.from(login).toString("base64")}`
  roles.push(({ headers }) =>
    headers.get("authorization") === expected
      ? null
      : new Response(null, { status: 401, headers: { "www-authenticate": 'Basic realm="registry"' } }),
  )
}

const requirement = needs(SPEC_SERVER, "openssl", "skopeo")
describe.skipIf(requirement.isMissing)(
  `in place of the original, with the configuration of its installer${requirement.note}`,
  () => {
    let upstream: UpstreamServer
    let images: Readonly<Record<string, TestImage>>
    let server: SpecServer
    let facade: RunningFacade
    let authority: Authority
    let certificates: string
    let answers: Readonly<Record<string, SpecAnswer>>
    const ref = (name: string) => `${upstream.host}/gitpod/${name}:1`

    beforeAll(async () => {
      upstream = startUpstream()
      requireLogin(upstream, "puller:pull-secret")
      images = await platformImages()
      for (const [name, one] of Object.entries(images)) upstream.add(`gitpod/${name}`, "1", one)
      // What its pod mounts
      const root = tempDir()
      const mounts = ["mnt/certificates", "mnt/pull-secret", "ws-manager-mk2-client-tls-certs"]
      for (const mount of mounts) mkdirSync(join(root, mount), { recursive: true })
      certificates = join(root, "ws-manager-mk2-client-tls-certs")
      authority = await createAuthority("specs", certificates)
      await authority.issueAt(join(certificates, "tls"), ["registry-facade"])
      const own = await authority.issueAt(join(certificates, "server"), ["ws-manager"])
      await authority.issueAt(join(root, "mnt/certificates/tls"), ["localhost", "127.0.0.1"])
      const auths = { [upstream.host]: { auth: Buffer.from("puller:pull-secret").toString("base64") } }
      writeFileSync(join(root, "mnt/pull-secret/pull-secret.json"), JSON.stringify({ auths }))
      const spec = (baseRef: string, ideRef: string) => ({
        spec: { baseRef, ideRef, supervisorRef: ref("supervisor"), ideLayerRef: [ref("plugin")] },
      })
      answers = {
        a1b2c3: spec(ref("workspace"), ref("ide")),
        d0c4e5: spec(ref("workspace-docker"), ref("ide")),
        e5f6a7: spec(ref("workspace"), ref("ide")),
        bad: spec(ref("workspace"), ref("broken")),
      }
      server = await startSpecServer({ answers, flags: ["-crt", own.crt, "-key", own.key, "-ca", authority.path] })
      facade = await startFacade({
        mode: "binary",
        env: { TELEPRESENCE_ROOT: root },
        clientTls: { ca: authority.pem },
        registry: {
          store: "/mnt/cache/registry",
          requireAuth: false,
          tls: { crt: "/mnt/certificates/tls.crt", key: "/mnt/certificates/tls.key" },
          staticLayer: ["supervisor", "workspacekit", "docker-up"].map((name) => ({ ref: ref(name), type: "image" })),
          remoteSpecProvider: [
            {
              addr: `dns:///localhost:${server.addr.split(":")[1]}`,
              tls: {
                ca: "/ws-manager-mk2-client-tls-certs/ca.crt",
                crt: "/ws-manager-mk2-client-tls-certs/tls.crt",
                key: "/ws-manager-mk2-client-tls-certs/tls.key",
              },
            },
          ],
          upstreams: { [upstream.host]: {} },
        },
        config: {
          dockerAuth: "/mnt/pull-secret/pull-secret.json",
          pprofAddr: "127.0.0.1:0",
          prometheusAddr: "127.0.0.1:0",
          readinessProbeAddr: ":0",
        },
      })
    })
    afterAll(async () => {
      await facade?.stop()
      await server?.stop()
      upstream.stop()
    })

    async function pull(id: string) {
      const headers = { accept: `${OCI_MANIFEST}, ${DOCKER_MANIFEST}` }
      const answer = await facade.get(`/v2/remote/${id}/manifests/latest`, { headers })
      const manifest = (await answer.json()) as Manifest
      const config = (await (
        await facade.get(`/v2/remote/${id}/blobs/${manifest.config.digest}`)
      ).json()) as ImageConfig
      return { type: answer.headers.get("content-type"), manifest, config }
    }

    const layersOf = (...names: readonly string[]) =>
      names.flatMap((name) => (images[name]?.layers ?? []).slice(name === "docker-up" ? 2 : 0))

    test("C-13, C-16: it starts with the mounts of its pod below TELEPRESENCE_ROOT, and is ready when the provider and the static layers are", async () => {
      const probes = () => facade.logs.find(({ message }) => message === "started readiness probe server")
      await until(() => probes() !== undefined)
      await until(async () => (await fetch(`http://${probes()?.["addr"]}/ready`)).status === 200)
    })

    test("C-13: a client pulls over TLS, by the installer's certificate and with the pull secret behind it", async () => {
      const dir = tempDir()
      copyFileSync(authority.path, join(dir, "ca.crt"))
      const pulled = await run(
        skopeo("copy", "--src-cert-dir", dir, `docker://${facade.host}/remote/a1b2c3`, `oci:${tempDir()}:1`),
      )
      const untrusted = await run(skopeo("inspect", `docker://${facade.host}/remote/a1b2c3`))

      expect(pulled).toMatchObject({ code: 0 })
      expect(untrusted.stderr).toContain("x509")
      expect(facade.logs.map(({ message }) => message)).toContain("HTTPS registry server listening")
    })

    test("C-6, C-8: layers in the original's order, nothing left out or added, docker-up without its first two", async () => {
      const { config, manifest } = await pull("a1b2c3")
      const expected = layersOf("workspace", "supervisor", "workspacekit", "docker-up", "ide", "supervisor", "plugin")
      expect(manifest.layers.map(({ digest }) => digest)).toEqual(expected.map(({ digest }) => digest))
      expect(config.rootfs.diff_ids).toEqual(expected.map(({ diffID }) => diffID))
    })

    test("C-7: APPEND goes in front, PREPEND behind, SET replaces, and nothing else of an added image counts", async () => {
      const { config } = await pull("a1b2c3")
      expect(config.config.Env).toEqual(["PATH=/ide/bin:/usr/bin:/ide/late", "BASE=1", "EDITOR=code --wait"])
    })

    test("C-4: both annotations: the reference of the base, and the sum of its layers as text", async () => {
      const { manifest } = await pull("a1b2c3")
      const size = layersOf("workspace").reduce((sum, one) => sum + one.size, 0)
      expect(manifest.annotations).toMatchObject({
        "io.gitpod.workspace-image.ref": ref("workspace"),
        "io.gitpod.workspace-image.size": String(size),
      })
    })

    describe.each(CONTAINERDS)("for $daemon", (programs) => {
      const needed = needs(programs.daemon, programs.ctr, "root")
      const reference = () => `localhost:${facade.host.split(":")[1]}/remote/a1b2c3:latest`
      let containerd: Containerd
      beforeAll(async () => {
        if (needed.isMissing) return
        containerd = await startContainerd(programs)
        const host = tempDir()
        const place = ["--hostname", "localhost", "--port", facade.host.split(":")[1] ?? ""]
        await runBinary(["setup", ...place, "--hostfs", host, "--ca", authority.path])
        const hosts = ["--hosts-dir", join(host, "etc/containerd/certs.d")]
        const { code, stderr } = await containerd.pullWith(hosts, reference())
        if (code !== 0) throw new Error(stderr)
      })
      afterAll(async () => await containerd?.stop())

      test.skipIf(needed.isMissing)(`C-3: it is there by the digest that HEAD tells${needed.note}`, async () => {
        const head = await facade.get("/v2/remote/a1b2c3/manifests/latest", { method: "HEAD" })
        expect(await containerd.digestOf(reference())).toBe(head.headers.get("docker-content-digest") ?? "")
      })

      test.skipIf(needed.isMissing)(`C-4: both annotations are read from its store${needed.note}`, async () => {
        const manifest = JSON.parse(await containerd.content(await containerd.digestOf(reference()))) as Manifest
        const size = layersOf("workspace").reduce((sum, one) => sum + one.size, 0)
        expect(manifest.annotations).toMatchObject({
          "io.gitpod.workspace-image.ref": ref("workspace"),
          "io.gitpod.workspace-image.size": String(size),
        })
      })

      test.skipIf(needed.isMissing)(
        `C-6: what docker-up would replace is as the base has it${needed.note}`,
        async () => {
          const root = await containerd.mount(reference())
          const { gid, mode, uid } = statSync(join(root, "usr/bin"))
          expect([mode & 0o7777, uid, gid]).toEqual([0o751, 1234, 1234])
          expect(readlinkSync(join(root, "usr/local/bin"))).toBe("../bin")
        },
      )
    })

    test("C-5: a manifest in Docker's format says so at its root, and has the annotations too", async () => {
      const { manifest, type } = await pull("d0c4e5")
      expect([type, manifest.mediaType]).toEqual([DOCKER_MANIFEST, DOCKER_MANIFEST])
      expect(manifest.annotations["io.gitpod.workspace-image.ref"]).toBe(ref("workspace-docker"))
      expect(manifest.layers).toHaveLength(
        layersOf("workspace-docker", "supervisor", "workspacekit", "docker-up", "ide", "supervisor", "plugin").length,
      )
    })

    test("A-25: an added image whose label is no number fails images that add it, and no other", async () => {
      const answer = await facade.get("/v2/remote/bad/manifests/latest")
      const text = await answer.text()
      expect(answer.status).toBeGreaterThanOrEqual(400)
      expect(text).toContain("skip-n.registry-facade.gitpod.io")
      expect(text).toContain("-10")
      expect((await facade.get("/v2/remote/a1b2c3/manifests/latest")).status).toBe(200)
    })

    test("C-14: its client certificate is rotated under it, and so is everybody's authority", async () => {
      const { addr } = server
      await server.stop()
      const renewed = await createAuthority("specs", certificates)
      await renewed.issueAt(join(certificates, "tls"), ["registry-facade"])
      const own = await renewed.issueAt(join(certificates, "server"), ["ws-manager"])
      const flags = ["-crt", own.crt, "-key", own.key, "-ca", renewed.path]
      server = await startSpecServer({ addr, answers, flags })

      await until(async () => (await facade.get("/v2/remote/e5f6a7/manifests/latest")).status === 200)
      expect(server.calls).toContain("e5f6a7")
    })

    test("blobs of every origin are there under the instance's name", async () => {
      const { manifest } = await pull("a1b2c3")
      for (const { digest, size } of manifest.layers) {
        const answer = await facade.get(`/v2/remote/a1b2c3/blobs/${digest}`)
        expect([answer.status, (await answer.arrayBuffer()).byteLength]).toEqual([200, size])
      }
    })
  },
)
