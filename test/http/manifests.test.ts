import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { type Mode, type RunningFacade, startFacade } from "../helpers/facade.ts"
import { DOCKER_MANIFEST, image, index, layer, OCI_INDEX, OCI_MANIFEST, platform, sha256 } from "../helpers/images.ts"
import { startUpstream, type UpstreamServer } from "../helpers/upstream-server.ts"

describe.each(["source", "binary"] as Mode[])("manifests from %s", (mode) => {
  let upstream: UpstreamServer
  let facade: RunningFacade

  beforeAll(async () => {
    upstream = startUpstream()
    const amd64 = await image({ architecture: "amd64" })
    const arm64 = await image({ architecture: "arm64" })
    upstream.add(
      "lab/multi",
      "1",
      index([
        [amd64, platform("amd64")],
        [arm64, platform("arm64", "v8")],
      ]),
    )
    upstream.add("lab/single", "1", await image({ layers: [await layer({ "a.txt": "a" })] }))
    const specs = {
      multi: { baseRef: `${upstream.host}/lab/multi:1`, layers: [{ files: { "/etc/motd": "hello" } }] },
      "group/single": { baseRef: `${upstream.host}/lab/single:1` },
    }
    facade = await startFacade({ mode, specs, registry: { defaultPlatform: "linux/arm64" } })
  })
  afterAll(async () => {
    await facade.stop()
    upstream.stop()
  })

  test("[M1] [M2] GET by tag gives exact bytes with type, digest, length and quoted ETag", async () => {
    const response = await facade.get("/v2/fixed/multi/manifests/latest")
    const bytes = new Uint8Array(await response.arrayBuffer())

    expect(response.status).toBe(200)
    expect(response.headers.get("content-type")).toBe(OCI_INDEX)
    expect(response.headers.get("docker-content-digest")).toBe(sha256(bytes))
    expect(response.headers.get("content-length")).toBe(String(bytes.byteLength))
    expect(response.headers.get("etag")).toBe(`"${sha256(bytes)}"`)
  })

  test("[M1] [M3] HEAD agrees with GET and has no body", async () => {
    const get = await facade.get("/v2/fixed/multi/manifests/latest")
    const head = await facade.get("/v2/fixed/multi/manifests/latest", { method: "HEAD" })

    expect(await head.text()).toBe("")
    for (const name of ["content-type", "docker-content-digest", "content-length", "etag"]) {
      expect([name, head.headers.get(name)]).toEqual([name, get.headers.get(name)])
    }
  })

  test.each([
    [null, OCI_INDEX],
    ["*/*", OCI_INDEX],
    [`${OCI_INDEX}, ${OCI_MANIFEST}`, OCI_INDEX],
    [OCI_MANIFEST, OCI_MANIFEST],
    [`${OCI_MANIFEST};q=0.8, ${OCI_INDEX};q=0`, OCI_MANIFEST],
    ["text/html", OCI_INDEX],
  ])("[M7] Accept %p is answered with %s", async (accept, type) => {
    const response = await facade.get("/v2/fixed/multi/manifests/latest", {
      headers: accept === null ? {} : { accept },
    })

    expect(response.headers.get("content-type")).toBe(type)
    expect(response.headers.get("vary")).toBe("Accept")
  })

  test("[M7] a client that takes no index gets the manifest of the default platform", async () => {
    const response = await facade.get("/v2/fixed/multi/manifests/latest", { headers: { accept: OCI_MANIFEST } })
    const { config } = (await response.json()) as { config: { digest: string } }
    const blob = await facade.get(`/v2/fixed/multi/blobs/${config.digest}`)

    expect(await blob.json()).toMatchObject({ architecture: "arm64" })
  })

  test("[M6] GET by digest ignores Accept and gives that digest", async () => {
    const { manifests } = (await (await facade.get("/v2/fixed/multi/manifests/latest")).json()) as {
      manifests: { digest: string }[]
    }
    for (const { digest } of manifests) {
      const response = await facade.get(`/v2/fixed/multi/manifests/${digest}`, { headers: { accept: DOCKER_MANIFEST } })
      expect(sha256(new Uint8Array(await response.arrayBuffer()))).toBe(digest)
    }
  })
})
