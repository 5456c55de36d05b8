import { describe, expect, test } from "bun:test"
import { type FileServer, startFiles } from "../helpers/files.ts"
import { image, layer, type TestImage } from "../helpers/images.ts"
import { stoppedAfterEach } from "../helpers/stopped.ts"
import { tempDir } from "../helpers/temp-dir.ts"
import { startUpstream, type UpstreamServer } from "../helpers/upstream-server.ts"

const servers = stoppedAfterEach()

interface Lab {
  readonly upstream: UpstreamServer
  readonly server: FileServer
  readonly secret: TestImage
}

/** `lab/secret` is listed; other repositories of the same registry are served because all are. */
async function start(options: { readonly hasRegistry: boolean }): Promise<Lab> {
  const upstream = startUpstream()
  const secret = await image({ layers: [await layer({ token: "secret" })] })
  for (const name of ["lab/secret", "lab/stranger", "lab/fork"]) upstream.add(name, "1", secret)
  // Only the manifest is there: whoever publishes it need not have what it names
  upstream.roles.push((_, url) =>
    url.pathname.startsWith("/v2/lab/stranger/blobs/") && !url.pathname.endsWith(secret.config.digest)
      ? new Response("there is none", { status: 404 })
      : null,
  )
  const dir = tempDir()
  await Bun.write(`${dir}/specs.json`, JSON.stringify({ app: { baseRef: `${upstream.host}/lab/secret:1` } }))
  const registry = { upstreams: { [upstream.host]: {} }, port: 0, host: "127.0.0.1", store: "store" }
  const server = await startFiles({
    dir,
    config: { registry: options.hasRegistry ? { ...registry, fixedSpecFN: "specs.json" } : registry },
    blobserve: {
      allowAnyRepo: true,
      repos: { [`${upstream.host}/lab/secret`]: {} },
      blobSpace: options.hasRegistry ? {} : { location: "space" },
    },
  })
  servers.push(upstream, server)
  return { upstream, server, secret }
}

const read = async ({ server, upstream }: Lab, repository: string) =>
  await server.get(`/${upstream.host}/${repository}:1/token`)

describe.each([
  ["in a space of its own", false],
  ["beside what a registry keeps", true],
])("who may publish an image, %s", (_, hasRegistry) => {
  test("sees no layer that his repository does not have, though it is here", async () => {
    const lab = await start({ hasRegistry })
    expect(await (await read(lab, "lab/secret")).text()).toBe("secret")

    const answer = await read(lab, "lab/stranger")
    expect([answer.status, (await answer.text()).includes("secret")]).toEqual([404, false])
  })

  test("sees none either that somebody else has whom nobody has listed", async () => {
    const lab = await start({ hasRegistry })
    expect(await (await read(lab, "lab/fork")).text()).toBe("secret")

    expect((await read(lab, "lab/stranger")).status).toBe(404)
  })

  test("sees it when it is there", async () => {
    const lab = await start({ hasRegistry })
    expect(await (await read(lab, "lab/secret")).text()).toBe("secret")
    expect(await (await read(lab, "lab/fork")).text()).toBe("secret")
  })
})

test("what a client has pulled from the registry beside is not shown to who only knows its digest", async () => {
  const lab = await start({ hasRegistry: true })
  const [{ digest = "" } = {}] = lab.secret.layers
  const pulled = await fetch(`${lab.server.registry}/v2/fixed/app/blobs/${digest}`)
  expect((await pulled.arrayBuffer()).byteLength).toBeGreaterThan(0)

  expect((await read(lab, "lab/stranger")).status).toBe(404)
  expect(await (await read(lab, "lab/secret")).text()).toBe("secret")
})
