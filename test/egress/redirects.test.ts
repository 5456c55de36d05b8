import { describe, expect, test } from "bun:test"
import type { EgressError, EgressRequest, EgressResponse } from "../../src/egress/egress.ts"
import { followRedirects } from "../../src/egress/redirects.ts"
import { never } from "../helpers/layers.ts"

interface Page {
  readonly status?: number
  readonly location?: string
}

/** Hosts in name only: what is sent where is all that matters here. */
function start(pages: Readonly<Record<string, Page>>, plainHosts: readonly string[] = []) {
  const sent: EgressRequest[] = []
  const cancelled: string[] = []
  const bodyOf = ({ href }: URL) =>
    new ReadableStream<Uint8Array<ArrayBuffer>>({ cancel: () => void cancelled.push(href) })
  const egress = followRedirects(
    async (request): Promise<EgressResponse> => {
      sent.push(request)
      const { status = 307, location } = pages[request.url.href] ?? { status: 200 }
      const headers = new Headers(location === undefined ? {} : { location })
      return { status, headers, url: request.url, isRedirected: false, body: bodyOf(request.url) }
    },
    { allowsPlainHTTP: (host) => plainHosts.includes(host) },
  )
  const get = async (href: string, more: Partial<EgressRequest> = {}) =>
    await egress({ method: "GET", url: new URL(href), ...more }, never).catch((error: EgressError) => error)
  return { sent, cancelled, get }
}
const A = "https://a.test/"

describe("followRedirects()", () => {
  test("C1: a request to another origin is built from nothing that is meant for the first", async () => {
    const { get, sent } = start({ [A]: { location: "https://b.test/x" } })
    const headers = { range: "bytes=5-", accept: "x" }
    const answer = await get(A, { headers, authorization: "Bearer s3cret", limit: "public" })

    expect(sent[1]).toEqual({
      method: "GET",
      url: new URL("https://b.test/x"),
      headers,
      limit: "public",
      via: new URL(A),
    })
    expect(answer).toMatchObject({ status: 200, isRedirected: true })
  })

  test.each([
    ["another host", "https://b.test/"],
    ["another port", "https://a.test:8443/"],
    ["another scheme", "http://a.test/"],
    ["a subdomain", "https://b.a.test/"],
    ["a name that begins alike", "https://a.test.evil/"],
    ["a user that looks like the host", "https://a.test@evil.test/"],
  ])("C1: %s gets no authorization", async (_, location) => {
    const { get, sent } = start({ [A]: { location } }, ["a.test"])
    await get(A, { authorization: "Basic s3cret" })

    expect(sent).toHaveLength(2)
    expect(JSON.stringify(sent[1])).not.toContain("s3cret")
  })

  test("the same origin keeps it, and gets it back after a detour", async () => {
    const { get, sent } = start({
      [A]: { location: "/one" },
      "https://a.test/one": { location: "https://b.test/" },
      "https://b.test/": { location: "https://a.test/two" },
    })
    const answer = await get(A, { authorization: "Basic s3cret" })

    expect(sent.map(({ url, authorization }) => [url.href, authorization ?? null])).toEqual([
      [A, "Basic s3cret"],
      ["https://a.test/one", "Basic s3cret"],
      ["https://b.test/", null],
      ["https://a.test/two", "Basic s3cret"],
    ])
    expect(answer).toMatchObject({ isRedirected: false })
  })

  test("a user and password in a Location are not sent", async () => {
    const { get, sent } = start({ [A]: { location: "https://me:s3cret@b.test/" } })
    await get(A)

    expect(sent[1]?.url.href).toBe("https://b.test/")
  })

  test.each([301, 302, 303, 307, 308])("%s is followed with the same method", async (status) => {
    const { get, sent } = start({ [A]: { status, location: "https://b.test/" } })
    await get(A, { method: "HEAD" })

    expect(sent.map(({ method, url }) => `${method} ${url.host}`)).toEqual(["HEAD a.test", "HEAD b.test"])
  })

  test.each([
    [300, "https://b.test/"],
    [304, "https://b.test/"],
    [307, undefined],
  ])("%s with Location %s is an answer like others", async (status, location) => {
    const { get, sent } = start({ [A]: { status, ...(location === undefined ? {} : { location }) } })

    expect(await get(A)).toMatchObject({ status })
    expect(sent).toHaveLength(1)
  })

  test("B5: five redirects are followed, six are not", async () => {
    const chain = (length: number) =>
      Object.fromEntries(
        Array.from({ length }, (_, step) => [`https://a.test/${step || ""}`, { location: `/${step + 1}` }]),
      )
    const [five, six] = [start(chain(5)), start(chain(6))]

    expect(await five.get(A)).toMatchObject({ status: 200 })
    expect(await six.get(A)).toMatchObject({ fault: "answer", message: "a.test redirected more than 5 times" })
    expect(six.sent).toHaveLength(6)
  })

  test("B5: a loop ends", async () => {
    const { get, sent } = start({ [A]: { location: A } })

    expect(await get(A)).toMatchObject({ fault: "answer" })
    expect(sent).toHaveLength(6)
  })

  test("B5: what is no URL is told, and its connection is given back", async () => {
    const { cancelled, get } = start({ [A]: { location: "http://[" } })

    expect(await get(A)).toMatchObject({ message: "a.test redirected to something that is no URL" })
    expect(cancelled).toEqual([A])
  })

  test("B5: encryption is not given up, unless the host is one without", async () => {
    const pages = { [A]: { location: "http://b.test/" } }

    expect(await start(pages).get(A)).toMatchObject({
      fault: "denied",
      message: "a.test redirected to b.test without encryption",
    })
    expect(await start(pages, ["b.test"]).get(A)).toMatchObject({ status: 200 })
  })

  test("a Location that is no URL is told", async () => {
    expect(await start({ [A]: { location: "https://" } }).get(A)).toMatchObject({ fault: "answer" })
  })

  test("C2: what is posted is posted nowhere else", async () => {
    const { get, sent } = start({ [A]: { location: "/same-origin" } })
    expect(await get(A, { method: "POST", body: "refresh_token=s3cret" })).toMatchObject({ fault: "denied" })
    expect(sent).toHaveLength(1)
  })
})
