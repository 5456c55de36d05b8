import { describe, expect, test } from "bun:test"
import { sharingProblems } from "../../src/config/sharing.ts"
import { splitCredentials } from "../../src/ipfs/credentials.ts"
import { parseApiAddress } from "../../src/ipfs/multiaddr.ts"

describe("the address of an IPFS node", () => {
  test.each([
    ["/ip4/10.1.2.3/tcp/5001", "http://10.1.2.3:5001/"],
    ["/ip6/fd00::1/tcp/5001", "http://[fd00::1]:5001/"],
    ["/dns4/ipfs.storage/tcp/9095", "http://ipfs.storage:9095/"],
    ["/dns/ipfs.test/tcp/443/https", "https://ipfs.test/"],
    ["http://ipfs.test:5001", "http://ipfs.test:5001/"],
  ])("%s is %s", (text, url) => {
    expect(parseApiAddress(text).href).toBe(url)
  })

  test.each(["/ip4/10.1.2.3/udp/4001", "10.1.2.3:5001", "ftp://ipfs.test", "", "/ip4//tcp/5001"])(
    "%p is none",
    (text) => {
      expect(() => parseApiAddress(text)).toThrow("give a multiaddr like /ip4/127.0.0.1/tcp/5001, or a URL")
    },
  )

  test("a password in it is in no message", () => {
    const text = "ftp://user:secret@ipfs.test"

    expect(() => parseApiAddress(text)).toThrow("ftp://<redacted>@ipfs.test")
    const problems = JSON.stringify(sharingProblems({ ipfs: { enabled: true, ipfsAddr: text } }))
    expect(problems).toContain("is no address")
    expect(problems).not.toContain("secret")
  })

  test("its user and password become a header, whatever letters they have", () => {
    const { authorization, url } = splitCredentials(new URL("http://us%40er:p%C3%A4ss%3A@ipfs.test:5001/x"))

    expect(url.href).toBe("http://ipfs.test:5001/x")
    expect(Buffer.from((authorization ?? "").slice("Basic ".length), "base64").toString()).toBe("us@er:päss:")
    expect(splitCredentials(new URL("http://ipfs.test")).authorization).toBeNull()
  })
})
