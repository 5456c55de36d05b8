import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import type { Mode } from "../helpers/facade.ts"
import { image, OCI_INDEX, type TestImage } from "../helpers/images.ts"
import { errorsOf, type PullServer, startPullServer } from "../helpers/pull-server.ts"

const HEX = "0123456789abcdef".repeat(4)
const EMPTY = { schemaVersion: 2, mediaType: OCI_INDEX, manifests: [] }

describe.each(["source", "binary"] as Mode[])("referrers from %s", (mode) => {
  let base: TestImage
  let server: PullServer

  beforeAll(async () => {
    base = await image()
    const specs = (host: string) => ({ edited: { baseRef: `${host}/lab/a:1`, layers: [{ files: { "/x": "y" } }] } })
    server = await startPullServer({ mode, images: { a: base }, specs })
  })
  afterAll(async () => await server.stop())

  const referrers = async (digest: string, query = "") =>
    await server.raw("GET", `/v2/fixed/edited/referrers/${digest}${query}`)

  test.each([
    `sha256:${HEX}`,
    `sha512:${HEX}${HEX}`,
    `blake3:${HEX}`,
    "multihash+base58:QmRZxt2b1FVZPNqd8hsiykDL3TdBDeTSPX9Kv46HmX4Gx8",
  ])("[2.2] the unknown subject %s has an empty index, never 404", async (digest) => {
    const answer = await referrers(digest)

    expect([answer.status, answer.header("content-type")]).toEqual([200, OCI_INDEX])
    expect(JSON.parse(answer.body.toString())).toEqual(EMPTY)
    expect(answer.header("content-length")).toBe(String(answer.body.byteLength))
    expect(answer.header("oci-filters-applied")).toBeNull()
    expect(answer.header("link")).toBeNull()
  })

  test("[2.2] the composed image and its base have none, and upstream is not asked for any", async () => {
    const digest = (await server.raw("HEAD", "/v2/fixed/edited/manifests/latest")).header("docker-content-digest") ?? ""

    for (const subject of [digest, base.manifest.digest]) {
      expect(JSON.parse((await referrers(subject)).body.toString())).toEqual(EMPTY)
    }
    expect(server.asked("/referrers/")).toBe(0)
  })

  test.each(["sha256:baddigeststring", "latest", ":", "sha256:", `sha256:${HEX.toUpperCase()}`, `sha512:${HEX}`])(
    "[2.2] %s is no digest: 400 DIGEST_INVALID",
    async (digest) => {
      const answer = await referrers(digest)

      expect([answer.status, errorsOf(answer)[0]?.code]).toEqual([400, "DIGEST_INVALID"])
    },
  )

  test.each(["?artifactType=application%2Fvnd.example", "?artifactType=a&artifactType=b", "?artifactType="])(
    "[2.2] %s is applied and told",
    async (query) => {
      const answer = await referrers(`sha256:${HEX}`, query)

      expect([answer.status, answer.header("oci-filters-applied")]).toEqual([200, "artifactType"])
      expect(JSON.parse(answer.body.toString())).toEqual(EMPTY)
    },
  )

  test("[2.2] HEAD has the headers of GET", async () => {
    const head = await server.raw("HEAD", `/v2/fixed/edited/referrers/sha256:${HEX}`)

    expect([head.status, head.header("content-type")]).toEqual([200, OCI_INDEX])
    expect(head.header("content-length")).toBe(String(JSON.stringify(EMPTY).length))
  })

  test.each([
    `sha256-${HEX}`,
    `sha256-${HEX}.sig`,
    `sha256-${HEX}.att`,
    `sha256-${HEX}.sbom`,
    `sha512-${HEX}.sig`,
    `blake3-${HEX}`,
  ])("[2.2] the tag %s speaks of a digest, so nothing is composed for it: 404", async (tag) => {
    for (const name of ["edited", "a"]) {
      const answer = await server.raw("GET", `/v2/fixed/${name}/manifests/${tag}`)
      expect([answer.status, errorsOf(answer)[0]?.code]).toEqual([404, "MANIFEST_UNKNOWN"])
      expect((await server.raw("HEAD", `/v2/fixed/${name}/manifests/${tag}`)).status).toBe(404)
    }
  })

  test.each([`sha256-${HEX}x`, "sha256-abc", `sha256-${HEX}.other`, "v1.sig"])(
    "[2.2] the tag %s is one like any other",
    async (tag) => {
      expect((await server.raw("HEAD", `/v2/fixed/edited/manifests/${tag}`)).status).toBe(200)
    },
  )
})
