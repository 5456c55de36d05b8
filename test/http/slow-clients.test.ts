import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { createAuthority } from "../helpers/certificates.ts"
import { type RunningFacade, startFacade } from "../helpers/facade.ts"
import { image, opaqueLayer } from "../helpers/images.ts"
import { needs } from "../helpers/programs.ts"
import { startUpstream, type UpstreamServer } from "../helpers/upstream-server.ts"

setDefaultTimeout(60_000)

const MIB = 1024 * 1024
/** So large that it is sent while it comes. */
const SIZE = 24 * MIB
/** Bytes per second: all fall behind the transfer, each at another place. */
const RATES = [8, 9, 11, 13, 17, 19].map((rate) => rate * MIB)

/** The second half comes when all clients have begun to read. */
function contentStream(bytes: Uint8Array, haveBegun: Promise<unknown>): Response {
  const halves = async function* () {
    yield bytes.subarray(0, SIZE / 2)
    await haveBegun
    yield bytes.subarray(SIZE / 2)
  }
  return new Response(halves(), { headers: { "content-length": String(bytes.byteLength) } })
}

const required = needs("openssl", "curl")
describe.skipIf(required.isMissing)(`clients that are slower than the upstream${required.note}`, () => {
  let upstream: UpstreamServer
  const running: RunningFacade[] = []

  beforeAll(() => {
    upstream = startUpstream()
  })
  afterAll(async () => {
    for (const facade of running) await facade.stop()
    upstream.stop()
  })

  /** What each of them got, while the blob was fetched for all. */
  async function digestsAt(registry: Readonly<Record<string, unknown>>, options: { readonly ca?: string } = {}) {
    const layer = opaqueLayer(SIZE, running.length)
    upstream.add(`lab/large${running.length}`, "1", await image({ layers: [layer] }))
    const baseRef = `${upstream.host}/lab/large${running.length}:1`
    const clientTls = options.ca === undefined ? {} : { clientTls: { ca: options.ca } }
    const facade = await startFacade({ mode: "binary", specs: { large: { baseRef } }, registry, ...clientTls })
    running.push(facade)
    const begun = RATES.map(() => Promise.withResolvers<void>())
    upstream.roles.push((request, { pathname }) => {
      if (request.method !== "GET" || !pathname.endsWith(layer.digest)) return null
      return contentStream(layer.bytes, Promise.all(begun.map(({ promise }) => promise)))
    })
    const url = `${facade.url}/v2/fixed/large/blobs/${layer.digest}`
    const fetched = RATES.map(async (rate, index) => {
      const child = Bun.spawn(["curl", "-sSk", "--limit-rate", String(rate), url], {
        stdout: "pipe",
        stderr: "inherit",
      })
      const hasher = new Bun.CryptoHasher("sha256")
      for await (const chunk of child.stdout) {
        hasher.update(chunk)
        begun[index]?.resolve()
      }
      return `sha256:${hasher.digest("hex")}`
    })
    const asked = () => upstream.seen.filter(({ method, path }) => method === "GET" && path.endsWith(layer.digest))
    return { digests: await Promise.all(fetched), expected: layer.digest, transfers: asked().length }
  }

  test("get every byte, each at their pace", async () => {
    const { digests, expected, transfers } = await digestsAt({})

    expect(digests).toEqual(RATES.map(() => expected))
    expect(transfers).toBe(1)
  })

  test("get every byte over TLS", async () => {
    const authority = await createAuthority()
    const { crt, key } = await authority.issue("slow")
    const { digests, expected, transfers } = await digestsAt({ tls: { crt, key } }, { ca: authority.pem })

    expect(digests).toEqual(RATES.map(() => expected))
    expect(transfers).toBe(1)
  })
})
