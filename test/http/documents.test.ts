import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import type { Mode } from "../helpers/facade.ts"
import {
  type Content,
  DOCKER_LIST,
  DOCKER_MANIFEST,
  descriptor,
  image,
  index,
  jsonContent,
  layer,
  OCI_INDEX,
  OCI_MANIFEST,
  opaqueLayer,
  platform,
  sha256,
  type TestImage,
} from "../helpers/images.ts"
import { errorsOf, type PullServer, startPullServer } from "../helpers/pull-server.ts"
import type { RawAnswer } from "../helpers/raw-http.ts"
import { rawRequest } from "../helpers/raw-http.ts"
import { contentResponse } from "../helpers/upstream-server.ts"

const EMPTY_CONFIG = jsonContent("application/vnd.oci.empty.v1+json", {})
const LIMIT = 4 * 1024 * 1024

const annotations = (count: number) =>
  Object.fromEntries(Array.from({ length: count }, (_, number) => [`key${number}`, "x".repeat(10_000)]))

interface Parsed {
  readonly mediaType?: string
  readonly config: { readonly digest: string }
  readonly manifests: readonly (Content & { readonly platform: { readonly os: string } })[]
}

const parsed = (answer: RawAnswer): Parsed => JSON.parse(answer.body.toString())

describe.each(["source", "binary"] as Mode[])("documents from %s", (mode) => {
  let amd64: TestImage
  let server: PullServer
  const added = { layers: [{ files: { "/x": "y" } }] }

  beforeAll(async () => {
    amd64 = await image({ architecture: "amd64" })
    const arm64 = await image({ architecture: "arm64" })
    const docker = await image({ family: "docker", architecture: "arm64" })
    const attestation = jsonContent(OCI_MANIFEST, {
      schemaVersion: 2,
      mediaType: OCI_MANIFEST,
      config: descriptor(EMPTY_CONFIG),
      layers: [],
    })
    const attested = index([[arm64, platform("arm64")]])
    const entries = [
      { ...descriptor(arm64.manifest), ...platform("arm64") },
      {
        ...descriptor(attestation),
        platform: { architecture: "unknown", os: "unknown" },
        annotations: { "vnd.docker.reference.type": "attestation-manifest" },
      },
    ]
    const withAttestation = jsonContent(OCI_INDEX, { schemaVersion: 2, mediaType: OCI_INDEX, manifests: entries })
    server = await startPullServer({
      mode,
      registry: { defaultPlatform: "linux/arm64" },
      images: {
        multi: index([
          [amd64, platform("amd64")],
          [arm64, platform("arm64")],
        ]),
        list: index([[docker, platform("arm64")]], { family: "docker" }),
        amd64only: index([[amd64, platform("amd64")]]),
        single: arm64,
        docker,
        attested: { ...attested, index: withAttestation },
        large: await image({ manifest: { annotations: annotations(390) } }),
        "too-large": await image({ manifest: { annotations: annotations(418) } }),
        artifact: await image({
          manifest: { artifactType: "application/vnd.example", config: descriptor(EMPTY_CONFIG) },
        }),
        "other-config": await image({
          manifest: { config: { ...descriptor(amd64.config), mediaType: "application/vnd.cncf.helm.config.v1+json" } },
        }),
        "bare-manifest": await image({ layers: [await layer({ bare: "1" })], manifest: { mediaType: undefined } }),
        "bare-index": index([[arm64, platform("arm64")]], { extra: { mediaType: undefined } }),
      },
      specs: (host) => ({
        edited: { baseRef: `${host}/lab/multi:1`, ...added },
        "edited-docker": { baseRef: `${host}/lab/docker:1`, ...added },
        "too-large-edited": { baseRef: `${host}/lab/too-large:1`, ...added, annotations: { more: "x".repeat(30_000) } },
      }),
    })
    server.upstream.roles.push((request, { pathname }) => {
      // Some registries tell nothing but JSON
      if (!/\/lab\/bare-(manifest|index)\/manifests\/1$/.test(pathname)) return null
      const found = contentResponse(request, bare.get(pathname.split("/")[3] ?? "") ?? EMPTY_CONFIG)
      found.headers.set("content-type", "application/json")
      return found
    })
    const bareIndex = { schemaVersion: 2, manifests: [{ ...descriptor(arm64.manifest), ...platform("arm64") }] }
    const bareManifest = { schemaVersion: 2, config: descriptor(arm64.config), layers: arm64.layers.map(descriptor) }
    bare.set("bare-manifest", jsonContent("application/json", bareManifest))
    bare.set("bare-index", jsonContent("application/json", bareIndex))
  })
  afterAll(async () => await server.stop())

  const bare = new Map<string, Content>()
  const manifest = async (name: string, reference = "latest", method = "GET", headers = {}) =>
    await server.raw(method, `/v2/fixed/${name}/manifests/${reference}`, headers)

  test.each([
    ["multi", OCI_INDEX],
    ["edited", OCI_INDEX],
    ["list", DOCKER_LIST],
    ["single", OCI_MANIFEST],
    ["docker", DOCKER_MANIFEST],
    ["edited-docker", DOCKER_MANIFEST],
    ["bare-manifest", OCI_MANIFEST],
    ["bare-index", OCI_INDEX],
  ])("[M1] [M2] [M3] [M4] [M5] %s is a %s, by tag and by digest, GET and HEAD", async (name, type) => {
    const byTag = await manifest(name)
    const digest = sha256(byTag.body)
    const others = [
      await manifest(name, "latest", "HEAD"),
      await manifest(name, digest),
      await manifest(name, digest, "HEAD"),
    ]

    expect(parsed(byTag).mediaType ?? type).toBe(type)
    for (const answer of [byTag, ...others]) {
      expect([answer.status, answer.header("content-type")]).toEqual([200, type])
      expect(answer.header("docker-content-digest")).toBe(digest)
      expect(answer.header("content-length")).toBe(String(byTag.body.byteLength))
      expect(answer.header("etag")).toBe(`"${digest}"`)
    }
    expect(others.map(({ body }) => body.byteLength)).toEqual([0, byTag.body.byteLength, 0])
    expect(others[1]?.body.equals(byTag.body)).toBe(true)
  })

  test("[M6] a digest that is not of this image is 404, whatever is composed now", async () => {
    for (const digest of [`sha256:${"0".repeat(64)}`, sha256((await manifest("single")).body)]) {
      const answer = await manifest("edited", digest)
      expect([answer.status, errorsOf(answer)[0]?.code]).toEqual([404, "MANIFEST_UNKNOWN"])
      expect((await manifest("edited", digest, "HEAD")).status).toBe(404)
    }
  })

  test("[M6] the base's own manifest, which the composed image replaces, is 404", async () => {
    expect((await manifest("edited", amd64.manifest.digest)).status).toBe(404)
  })

  test.each([
    [[], OCI_INDEX],
    [["Accept: */*"], OCI_INDEX],
    [["Accept: application/*"], OCI_INDEX],
    [["Accept: application/json"], OCI_INDEX],
    [["Accept: */*;q=0.1"], OCI_INDEX],
    [["Accept:"], OCI_INDEX],
    [[`Accept: ${OCI_MANIFEST}`, `Accept: ${OCI_INDEX}`], OCI_INDEX],
    [[`Accept: ${DOCKER_MANIFEST}`, `Accept: ${OCI_MANIFEST}`], OCI_MANIFEST],
    [[`Accept: ${OCI_MANIFEST}`, "Accept: */*"], OCI_INDEX],
    [[`Accept: ${DOCKER_MANIFEST}`], OCI_MANIFEST],
    [[`Accept: ${DOCKER_LIST}`], OCI_INDEX],
    [[`Accept: ${OCI_MANIFEST.toUpperCase()}`], OCI_MANIFEST],
    [[`Accept:${OCI_MANIFEST} ; q=0.5 ,  ${OCI_INDEX} ; q=0.000`], OCI_MANIFEST],
    [[`Accept: ${OCI_MANIFEST};q=0.5, ${OCI_INDEX};q=0.001`], OCI_INDEX],
    [[`Accept: ${OCI_MANIFEST};q=0, ${OCI_INDEX};q=0`], OCI_INDEX],
    [[`Accept: ${OCI_MANIFEST}, */*;q=0`], OCI_MANIFEST],
    [["Accept: text/html, image/png"], OCI_INDEX],
    [["Accept: ;;,,;q=,"], OCI_INDEX],
  ])("[M7] by tag with %j comes a %s", async (headers, type) => {
    const lines = ["GET /v2/fixed/multi/manifests/latest HTTP/1.1", "Host: localhost", ...headers]
    const answer = await rawRequest(server.facade.host, lines)

    expect([answer.status, answer.header("content-type"), answer.header("vary")]).toEqual([200, type, "Accept"])
  })

  test("[M7] what is one manifest stays that, and does not vary", async () => {
    for (const accept of [OCI_INDEX, DOCKER_LIST, DOCKER_MANIFEST, "text/html", "*/*"]) {
      const answer = await manifest("single", "latest", "GET", { Accept: accept })
      expect([answer.header("content-type"), answer.header("vary")]).toEqual([OCI_MANIFEST, null])
    }
  })

  test("[M7] an index without the default platform stays an index", async () => {
    const answer = await manifest("amd64only", "latest", "GET", { Accept: OCI_MANIFEST })

    expect([answer.status, answer.header("content-type")]).toEqual([200, OCI_INDEX])
  })

  test("[M7] the manifest that comes in place of the index can be had by its digest", async () => {
    const byTag = await manifest("edited", "latest", "GET", { Accept: OCI_MANIFEST })
    const digest = byTag.header("docker-content-digest") ?? ""

    expect(parsed(await manifest("edited")).manifests.map((entry) => entry.digest)).toContain(digest)
    expect((await manifest("edited", digest)).body.equals(byTag.body)).toBe(true)
  })

  test("[M8] a manifest of 3.9 MB is served", async () => {
    const answer = await manifest("large")

    expect([answer.status, answer.body.byteLength > 3_900_000]).toEqual([200, true])
    expect((await manifest("large", "latest", "HEAD")).header("content-length")).toBe(String(answer.body.byteLength))
  })

  test("[M8] nothing larger than clients take is ever sent, but an error that says so", async () => {
    const base = await manifest("too-large")
    const edited = await manifest("too-large-edited")

    expect([base.status, base.body.byteLength < LIMIT]).toEqual([200, true])
    expect([edited.status, errorsOf(edited)[0]?.message.includes("clients accept")]).toEqual([500, true])
  })

  test("[M10] attestations of the base are left out", async () => {
    const { manifests } = parsed(await manifest("attested"))

    expect(manifests.map(({ platform: { os } }) => os)).toEqual(["linux"])
  })

  test.each([
    ["artifact", "application/vnd.example"],
    ["other-config", "application/vnd.cncf.helm.config.v1+json"],
  ])("[M10] a base that is %s cannot run, and its kind is told", async (name, kind) => {
    const answer = await manifest(name)

    expect(answer.status).toBe(502)
    expect(errorsOf(answer)[0]?.message).toContain(kind)
  })

  test("[M2] requests by tag and digest at once all give the same", async () => {
    const name = "edited"
    const digest = (await manifest(name, "latest", "HEAD")).header("docker-content-digest") ?? ""
    const asked = Array.from({ length: 40 }, async (_, turn) =>
      manifest(name, turn % 2 === 0 ? "latest" : digest, turn % 3 === 0 ? "HEAD" : "GET"),
    )
    const answers = await Promise.all(asked)

    expect(new Set(answers.map((answer) => answer.header("docker-content-digest")))).toEqual(new Set([digest]))
    expect(new Set(answers.map((answer) => answer.header("content-length"))).size).toBe(1)
  })

  test("[M6] every document and blob that the index leads to can be had, with its size and type", async () => {
    const { manifests } = parsed(await manifest("edited"))
    for (const entry of manifests) {
      const answer = await manifest("edited", entry.digest)
      expect([answer.header("content-type"), answer.body.byteLength]).toEqual([entry.mediaType, entry.size])
      const { config, layers } = JSON.parse(answer.body.toString())
      for (const part of [config, ...layers] as Content[]) {
        const blob = await server.raw("GET", `/v2/fixed/edited/blobs/${part.digest}`)
        expect([part.digest, sha256(blob.body), blob.body.byteLength]).toEqual([part.digest, part.digest, part.size])
      }
    }
  })
})

describe.each(["source", "binary"] as Mode[])("a name that nobody has asked for, from %s", (mode) => {
  test("[M11] is composed once for all who ask at once, by tag and by blob", async () => {
    const base = await image({ layers: [opaqueLayer(1000)] })
    const server = await startPullServer({ mode, images: { a: base } })
    const blob = `/v2/fixed/a/blobs/${base.layers[0]?.digest}`
    const paths = ["/v2/fixed/a/manifests/latest", "/v2/fixed/a/manifests/1", blob]
    const answers = await Promise.all(paths.flatMap((path) => [server.raw("HEAD", path), server.raw("GET", path)]))

    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200, 200])
    expect(server.asked("/manifests/")).toBe(1)
    expect(server.asked(base.config.digest)).toBe(1)
    await server.stop()
  })

  test("[M11] asks its upstream nothing when its tag is asked for again, as kubelet does", async () => {
    const server = await startPullServer({ mode, images: { a: await image() } })
    await server.raw("HEAD", "/v2/fixed/a/manifests/latest")
    const before = server.upstream.seen.length

    expect((await server.raw("HEAD", "/v2/fixed/a/manifests/latest")).status).toBe(200)
    expect(server.upstream.seen.length).toBe(before)
    await server.stop()
  })
})
