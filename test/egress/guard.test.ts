import { describe, expect, test } from "bun:test"
import type { AddressClass } from "../../src/egress/address-class.ts"
import { Dialer } from "../../src/egress/dialer.ts"
import { Guard } from "../../src/egress/guard.ts"
import { createFakeClock } from "../helpers/fake-clock.ts"
import { never } from "../helpers/layers.ts"

const NAMES: Readonly<Record<string, readonly string[]>> = {
  "public.test": ["93.184.216.34"],
  "private.test": ["10.1.2.3"],
  "shared.test": ["100.64.0.7"],
  "local.test": ["127.0.0.1"],
  "metadata.test": ["169.254.169.254"],
  "both.test": ["127.0.0.1", "93.184.216.34"],
  "named.test": ["10.9.9.9"],
  "storage.test": ["10.8.8.8"],
}

function createGuard(named: readonly string[] = ["named.test"]) {
  const dialer = new Dialer({
    clock: createFakeClock(),
    connectMs: 1000,
    lookup: async (hostname) => NAMES[hostname] ?? (/^[\d.]+$|:/.test(hostname) ? [hostname] : []),
    probe: async () => {},
  })
  return new Guard({ dialer, isNamed: (host) => named.includes(host) })
}

async function judged(url: string, limit?: AddressClass, via?: string): Promise<readonly string[] | string> {
  const wanted = { url: new URL(url), via: via === undefined ? null : new URL(via) }
  return await createGuard()
    .addresses(limit === undefined ? wanted : { ...wanted, limit }, never)
    .catch((error) => error.fault)
}

describe("Guard", () => {
  test.each([
    ["https://public.test", ["93.184.216.34"]],
    ["https://private.test", ["10.1.2.3"]],
    ["https://local.test", ["127.0.0.1"]],
    ["https://metadata.test", "denied"],
    ["https://169.254.169.254/latest/meta-data", "denied"],
    ["https://[fe80::1]/", "denied"],
    ["https://224.0.0.1/", "denied"],
  ])("what an operator writes may be anywhere but at special addresses: %s", async (url, expected) => {
    expect(await judged(url)).toEqual(expected)
  })

  test.each([
    ["https://public.test", ["93.184.216.34"]],
    ["https://private.test", "denied"],
    ["https://shared.test", "denied"],
    ["https://local.test", "denied"],
    ["https://metadata.test", "denied"],
    ["https://both.test", ["93.184.216.34"]],
    ["https://named.test", ["10.9.9.9"]],
  ])("C4: what others write reaches only what is public or named: %s", async (url, expected) => {
    expect(await judged(url, "public")).toEqual(expected)
  })

  test.each([
    ["http://127.0.0.1/"],
    ["http://127.1/"],
    ["http://2130706433/"],
    ["http://0x7f000001/"],
    ["http://0177.0.0.1/"],
    ["http://127.0.0.1./"],
    ["http://0/"],
    ["http://0.0.0.0/"],
    ["http://10.0.0.1/"],
    ["http://172.16.0.1/"],
    ["http://172.31.255.254/"],
    ["http://192.168.1.1/"],
    ["http://169.254.169.254/"],
    ["http://100.64.0.1/"],
    ["http://192.0.0.1/"],
    ["http://192.0.2.1/"],
    ["http://198.18.0.1/"],
    ["http://203.0.113.1/"],
    ["http://224.0.0.1/"],
    ["http://240.0.0.1/"],
    ["http://255.255.255.255/"],
    ["http://[::1]/"],
    ["http://[::]/"],
    ["http://[::ffff:127.0.0.1]/"],
    ["http://[::ffff:7f00:1]/"],
    ["http://[::ffff:10.0.0.1]/"],
    ["http://[64:ff9b::7f00:1]/"],
    ["http://[64:ff9b::a9fe:a9fe]/"],
    ["http://[2002:7f00:1::]/"],
    ["http://[2002:a00:1::]/"],
    ["http://[::7f00:1]/"],
    ["http://[2001:0:4136:e378:8000:63bf:3fff:fdd2]/"],
    ["http://[fc00::1]/"],
    ["http://[fd12:3456::1]/"],
    ["http://[fe80::1]/"],
    ["http://[fec0::1]/"],
    ["http://[ff02::1]/"],
    ["http://[2001:db8::1]/"],
    ["http://１２７.０.０.１/"],
    ["http://①②⑦.0.0.1/"],
  ])("C4: no spelling of an inner address gets past: %s", async (url) => {
    expect(await judged(url, "public")).toBe("denied")
  })

  test.each([
    ["from public to private", "https://private.test", "https://public.test", "denied"],
    ["from public to itself", "https://local.test", "https://public.test", "denied"],
    ["from private to private", "https://storage.test", "https://private.test", ["10.8.8.8"]],
    ["from private to itself", "https://local.test", "https://private.test", "denied"],
    ["from itself to itself", "https://local.test", "https://127.0.0.1:5000", ["127.0.0.1"]],
    ["from itself to metadata", "https://metadata.test", "https://127.0.0.1:5000", "denied"],
    ["from a name that is both public and itself", "https://local.test", "https://both.test", "denied"],
    ["from public to what is named", "https://named.test", "https://public.test", ["10.9.9.9"]],
  ])("C4: nobody is sent closer to us than the sender is: %s", async (_, url, via, expected) => {
    expect(await judged(url, undefined, via)).toEqual(expected)
  })

  test.each([
    ["by a named registry into its network", "https://storage.test", "https://named.test", ["10.8.8.8"]],
    ["by a named registry to ourselves", "https://local.test", "https://named.test", "denied"],
    ["by another private host", "https://storage.test", "https://private.test", "denied"],
  ])("C4: what others write is sent on %s", async (_, url, via, expected) => {
    expect(await judged(url, "public", via)).toEqual(expected)
  })

  test.each(["file:///etc/passwd", "data:text/plain,x", "s3://bucket/key", "unix:///run/x.sock", "ftp://public.test/"])(
    "C5: %s is refused before anything is looked up",
    async (url) => {
      expect(await judged(url)).toBe("denied")
    },
  )

  test("a host that has no address is a failure of the network, not a denial", async () => {
    expect(await judged("https://nowhere.test")).toBe("network")
  })
})
