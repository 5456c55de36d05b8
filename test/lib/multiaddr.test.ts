import { describe, expect, test } from "bun:test"
import { parseApiAddress } from "../../src/lib/multiaddr.ts"

describe("the address of an HTTP API", () => {
  test.each([
    ["/ip4/10.1.2.3/tcp/5001", "http://10.1.2.3:5001/"],
    ["/ip6/fd00::1/tcp/5001", "http://[fd00::1]:5001/"],
    ["/dns4/ipfs.storage/tcp/9095", "http://ipfs.storage:9095/"],
    ["/dns/ipfs.test/tcp/443/https", "https://ipfs.test/"],
    ["http://ipfs.test:5001", "http://ipfs.test:5001/"],
  ])("%s is %s", (text, url) => {
    expect(parseApiAddress(text)?.href).toBe(url)
  })

  test.each([
    "/ip4/10.1.2.3/udp/4001",
    "10.1.2.3:5001",
    "ftp://ipfs.test",
    "",
    "/ip4//tcp/5001",
    "/ip4/10.1.2.3/tcp/99999",
    "/dns4/no host/tcp/5001",
  ])("%p is none", (text) => {
    expect(parseApiAddress(text)).toBeNull()
  })
})
