import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { type FileServer, type FileServerOptions, startFiles } from "../helpers/files.ts"
import { image, layer } from "../helpers/images.ts"
import { tempDir } from "../helpers/temp-dir.ts"
import { startUpstream } from "../helpers/upstream-server.ts"
import { basic, userLine } from "../helpers/users.ts"

setDefaultTimeout(30_000)

const stops: (() => unknown)[] = []
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop()
})

/** Any repository is served, beside a registry that wants a login. */
async function start({ blobserve, config }: FileServerOptions, files: Readonly<Record<string, string>>) {
  const dir = tempDir()
  for (const [name, content] of Object.entries(files)) writeFileSync(join(dir, name), content)
  const server = await startFiles({ dir, config: config ?? {}, blobserve: { allowAnyRepo: true, ...blobserve } })
  stops.push(server.stop)
  return server
}

const SPECS = JSON.stringify({
  secret: { baseRef: "scratch", layers: [{ files: { "/etc/token": "hidden" } }] },
  open: { baseRef: "scratch", layers: [{ files: { "/etc/motd": "hello" } }] },
})

async function besideLogin(): Promise<FileServer> {
  const registry = {
    port: 0,
    host: "127.0.0.1",
    store: "store",
    fixedSpecFN: "specs.json",
    requireAuth: true,
    auth: { htpasswd: "users" },
  }
  const users = await userLine("ann", "right")
  return await start(
    { config: { registry }, blobserve: { repos: { "fixed/open": {} } } },
    { "specs.json": SPECS, users },
  )
}

describe("with allowAnyRepo", () => {
  test("a composed image that the registry asks a login for is served only where it is listed", async () => {
    const server = await besideLogin()
    const manifest = `${server.registry}/v2/fixed/secret/manifests/latest`
    expect((await fetch(manifest)).status).toBe(401)
    const pulled = await fetch(manifest, { headers: basic("ann", "right") })
    const digest = pulled.headers.get("docker-content-digest")

    for (const path of [
      "/fixed/secret:latest/etc/token",
      `/fixed/secret@${digest}/etc/token`,
      "/blobserve/fixed/secret:latest/__files__/etc/token",
      "/%66ixed/secret:latest/etc/token",
      "/-/images/fixed/secret:latest",
      "/-/api/v1/images/fixed/secret:latest",
      "/remote/anything:latest/etc/token",
    ]) {
      const answer = await server.get(path)
      expect([path, answer.status]).toEqual([path, 403])
      expect(await answer.text()).toContain("forbidden repo")
    }
    expect(await server.text("/fixed/open:latest/etc/motd")).toBe("hello")
  })

  test.each(["library/ubuntu", "Fixed/secret", "x/fixed/secret"])(
    "%s is no canonical name of any image, and not found",
    async (name) => {
      const answer = await (await besideLogin()).get(`/${name}:latest/etc/token`)
      expect([answer.status, await answer.text()]).toEqual([404, expect.stringContaining("it is not canonical")])
    },
  )

  test("what the configured credentials can read is served", async () => {
    const upstream = startUpstream()
    stops.push(upstream.stop)
    upstream.add("lab/private", "1", await image({ layers: [await layer({ f: "private" })] }))
    const { authorization } = basic("ann", "right")
    upstream.roles.push(({ headers }) =>
      headers.get("authorization") === authorization
        ? null
        : new Response("{}", { status: 401, headers: { "www-authenticate": "Basic realm=x" } }),
    )
    const registry = { port: 0, host: "127.0.0.1", store: "store", upstreams: { [upstream.host]: {} } }
    const auths = { [upstream.host]: { auth: btoa("ann:right") } }
    const server = await start(
      { config: { registry, dockerAuth: "docker.json" } },
      { "docker.json": JSON.stringify({ auths }) },
    )

    expect(await server.text(`/${upstream.host}/lab/private:1/f`)).toBe("private")
  })
})
