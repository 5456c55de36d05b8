import { afterEach, beforeEach, describe, expect, test } from "bun:test"
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { commandTools } from "../../src/app/command-tools.ts"
import { knownHosts } from "../../src/app/known-hosts.ts"
import { buildEgress } from "../../src/app/outside.ts"
import { loadConfig } from "../../src/config/load.ts"
import type { EgressRequest } from "../../src/egress/egress.ts"
import { systemClock } from "../../src/lib/clock.ts"
import type { Trust } from "../../src/oci/reference.ts"
import { IMPATIENT } from "../helpers/impatient.ts"
import { never } from "../helpers/layers.ts"
import { silentLogger } from "../helpers/silent-logger.ts"
import { tempDir } from "../helpers/temp-dir.ts"
import { startUpstream, type UpstreamServer } from "../helpers/upstream-server.ts"

let server: UpstreamServer
beforeEach(() => {
  server = startUpstream()
})
afterEach(() => server.stop())

interface Setup {
  readonly registry?: Readonly<Record<string, unknown>>
  /** What DNS says, one answer after the other; the last one stays. */
  readonly names?: Readonly<Record<string, readonly (readonly string[])[]>>
}

/** The real way out of a configuration, with names of our own. */
async function start({ registry = {}, names = {} }: Setup) {
  const dir = tempDir()
  mkdirSync(dir, { recursive: true })
  writeFileSync(join(dir, "config.json"), JSON.stringify({ registry }))
  const config = (await loadConfig(join(dir, "config.json"))).registry
  if (config === null) throw new Error("There is a registry")
  const asked: string[] = []
  let skippedMs = 0
  const clock = { ...systemClock, now: () => systemClock.now() + skippedMs }
  const lookup = async (hostname: string) => {
    asked.push(hostname)
    if (/^[\d.]+$|:/.test(hostname)) return [hostname]
    const answers = names[hostname] ?? [["127.0.0.1"]]
    return answers[Math.min(asked.filter((name) => name === hostname).length, answers.length) - 1] ?? []
  }
  const tools = commandTools(silentLogger, { ...IMPATIENT, random: Math.random, disk: (open) => open, clock, lookup })
  const hosts = knownHosts(() => config, tools)
  const egress = buildEgress(config, { authorities: new Map(), hosts }, tools)
  const get = async (trust: Trust, href: string, more: Partial<EgressRequest> = {}) =>
    await egress[trust]({ method: "GET", url: new URL(href), ...more }, never).then(
      ({ status }) => status,
      (error) => `${error.fault}: ${error.message}`,
    )
  const skip = (ms: number) => {
    skippedMs += ms
  }
  return { asked, get, skip }
}
const port = () => server.url.port
const denied = expect.stringMatching(/^denied: .* is not in public; name it in "upstreams" if it is meant$/)

describe("what operators write, and what others do", () => {
  test("C4: a name for this machine serves operators alone", async () => {
    const { get } = await start({})

    expect(await get("operator", `http://registry.test:${port()}/v2/`)).toBe(200)
    expect(await get("remote", `http://registry.test:${port()}/v2/`)).toEqual(denied)
    expect(await get("remote", `http://127.0.0.1:${port()}/v2/`)).toEqual(denied)
    expect(server.seen).toHaveLength(1)
  })

  test.each([
    ["an upstream", { upstreams: { "registry.test:PORT": {} } }],
    ["a mirror", { upstreams: { "other.test": { mirrors: ["http://registry.test:PORT"] } } }],
    ["a token server", { upstreams: { "other.test": { realms: ["registry.test:PORT"] } } }],
    ["the host of a pattern", { allowedUpstreams: ["registry.test:PORT/team/**"] }],
  ])("C4: a host that is named as %s serves others, too", async (_, registry) => {
    const named = JSON.parse(JSON.stringify(registry).replaceAll("PORT", port()))
    const { get } = await start({ registry: named })

    expect(await get("remote", `http://registry.test:${port()}/v2/`)).toBe(200)
    expect(await get("remote", `http://other-name.test:${port()}/v2/`)).toEqual(denied)
  })

  test.each([
    ["registry.test:443", "https://registry.test/v2/", {}],
    ["registry.test:443", "https://registry.test:443/v2/", {}],
    ["registry.test", "https://registry.test:443/v2/", {}],
    ["registry.test:80", "http://registry.test/v2/", { plainHTTP: true }],
  ])("C4: %s is named with %s, which says no port because it is the usual one", async (host, url, upstream) => {
    const { get } = await start({ registry: { upstreams: { [host]: upstream } } })

    expect(await get("remote", url)).not.toEqual(denied)
  })

  test("C4: a pattern for any host names none", async () => {
    const { get } = await start({ registry: { allowedUpstreams: ["**", "*/team/*", "reg*:PORT/x"] } })

    expect(await get("remote", `http://registry.test:${port()}/v2/`)).toEqual(denied)
  })
})

describe("DNS", () => {
  test("C4: the address that was checked is the one that is connected to: a name is asked for once", async () => {
    const { asked, get } = await start({ names: { "rebind.test": [["127.0.0.1"], ["169.254.169.254"]] } })

    expect(await get("operator", `http://rebind.test:${port()}/v2/`)).toBe(200)
    expect(asked).toEqual(["rebind.test"])
    expect(server.seen[0]?.headers.get("host")).toBe(`rebind.test:${port()}`)
  })

  test("C4: a name that has become another address is judged anew", async () => {
    const { get, skip } = await start({ names: { "rebind.test": [["127.0.0.1"], ["169.254.169.254"]] } })
    await get("operator", `http://rebind.test:${port()}/v2/`)
    skip(31_000)

    expect(await get("operator", `http://rebind.test:${port()}/v2/`)).toEqual(denied)
  })

  test("C4: of several addresses only those are used that may be", async () => {
    const names = { "both.test": [["169.254.169.254", "127.0.0.1"]] }

    expect(await (await start({ names })).get("operator", `http://both.test:${port()}/v2/`)).toBe(200)
  })

  test("A12: an address that does not answer is passed over for one that does", async () => {
    const { get } = await start({ names: { "many.test": [["127.0.0.2", "127.0.0.1"]] } })

    expect(await get("operator", `http://many.test:${port()}/v2/`)).toBe(200)
  })

  test("A12: a name without addresses is told", async () => {
    const { get } = await start({ names: { "gone.test": [[]] } })

    expect(await get("operator", "http://gone.test/v2/")).toStartWith(
      "network: gone.test cannot be reached: its name has no address",
    )
  })
})

describe("redirects", () => {
  const redirect = (location: string) =>
    server.roles.push(() => new Response(null, { status: 307, headers: { location } }))

  test.each([
    ["http://169.254.169.254/latest/meta-data/iam", denied],
    ["http://[fe80::1]/", denied],
    ["file:///etc/passwd", "denied: a file: URL is neither http nor https"],
    ["data:text/plain,x", "denied: a data: URL is neither http nor https"],
    ["s3://bucket/key", "denied: a s3: URL is neither http nor https"],
  ])("C4, C5: to %s are not followed", async (location, expected) => {
    const { get } = await start({})
    redirect(location)

    expect(await get("operator", `${server.url.href}v2/`)).toEqual(expected)
  })

  test("C4: a private host cannot send us to this machine", async () => {
    const inner = startUpstream()
    const { get } = await start({ names: { "private.test": [["127.0.0.1"]] }, registry: {} })
    redirect(inner.url.href)

    expect(await get("remote", `http://private.test:${port()}/`)).toEqual(denied)
    expect(inner.seen).toEqual([])
    inner.stop()
  })

  test("C4: a named registry may send others to its storage beside it", async () => {
    const storage = startUpstream()
    const { get } = await start({ registry: { upstreams: { [`registry.test:${port()}`]: {} } } })
    redirect(`${storage.url.href}v2/`)

    expect(await get("remote", `http://registry.test:${port()}/`)).toBe(200)
    expect(storage.seen).toHaveLength(1)
    storage.stop()
  })

  test("B5: a chain without end is left", async () => {
    const { get } = await start({})
    redirect("/again")

    expect(await get("operator", `${server.url.href}v2/`)).toStartWith("answer: ")
    expect(server.seen).toHaveLength(6)
  })
})
