import { describe, expect, test } from "bun:test"
import { clientNetwork } from "../../src/auth/network.ts"

describe("clientNetwork()", () => {
  test.each([
    ["192.0.2.1", "192.0.2.1"],
    ["::ffff:192.0.2.1", "192.0.2.1"],
    ["::ffff:c000:201", "192.0.2.1"],
    ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"],
    ["2001:db8:1:2::", "2001:db8:1:2::/64"],
    ["2001:db8:1:3::1", "2001:db8:1:3::/64"],
    ["::1", "::/64"],
    ["fe80::1%eth0", "fe80::/64"],
    ["", "unknown"],
    ["nonsense", "unknown"],
    [null, "unknown"],
  ])("%p is one with %s", (address, network) => {
    expect(clientNetwork(address)).toBe(network)
  })
})
