import { describe, expect, test } from "bun:test"
import { sharingProblems, toSharing } from "../../src/config/sharing.ts"

const section = { ipfs: { enabled: true, ipfsAddr: "/ip4/$IPFS_HOST/tcp/5001", gatewayAddr: "http://$IPFS_HOST:8080" } }

describe("addresses of an IPFS node", () => {
  test("a password in a wrong one is in no message", () => {
    const problems = JSON.stringify(
      sharingProblems({ ipfs: { enabled: true, ipfsAddr: "ftp://user:secret@ipfs.test" } }),
    )

    expect(problems).toContain("is no address")
    expect(problems).not.toContain("secret")
  })

  test.each([
    [{}, "http://127.0.0.1:5001/", "http://127.0.0.1:8080/"],
    [{ IPFS_HOST: "10.1.2.3" }, "http://10.1.2.3:5001/", "http://10.1.2.3:8080/"],
  ])("with %p, $IPFS_HOST stands for the node's host in both", (env, api, gateway) => {
    const { ipfs } = toSharing("/", section, env)

    expect([ipfs?.api.href, ipfs?.gateway?.href]).toEqual([api, gateway])
  })

  test("an $IPFS_HOST that is no host is named", () => {
    expect(() => toSharing("/", section, { IPFS_HOST: "no host" })).toThrow(
      '"/ip4/no host/tcp/5001" is no address of an IPFS node, like /ip4/127.0.0.1/tcp/5001; is $IPFS_HOST a host?',
    )
  })
})
