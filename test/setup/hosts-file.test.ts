import { describe, expect, test } from "bun:test"
import { withHost, withoutHost } from "../../src/setup/hosts-file.ts"

const OURS = "127.0.0.1 reg.x # registry-facade\n"

describe("withHost()", () => {
  test.each([
    ["nothing", "", OURS],
    [
      "other lines",
      "127.0.0.1\tlocalhost\n\n# comment\n::1 ip6\n",
      `127.0.0.1\tlocalhost\n\n# comment\n::1 ip6\n${OURS}`,
    ],
    ["a last line without its end", "127.0.0.1 localhost", `127.0.0.1 localhost\n${OURS}`],
    ["its own line", OURS, OURS],
    ["the original's line", "127.0.0.1 reg.x\n", "127.0.0.1 reg.x\n"],
    ["the name beside others", "127.0.0.1 localhost reg.x\n", "127.0.0.1 localhost reg.x\n"],
    ["the name in other letters", "127.0.0.1 REG.X\n", "127.0.0.1 REG.X\n"],
    ["an address that is out of date", "10.0.0.5 reg.x\n10.0.0.6 b\n", `10.0.0.6 b\n${OURS}`],
    ["such an address with other names", "10.0.0.5 a reg.x b # keep\n", `10.0.0.5 a b # keep\n${OURS}`],
    ["longer names", "10.0.0.5 my.reg.x reg.x.y\n", `10.0.0.5 my.reg.x reg.x.y\n${OURS}`],
    ["a name that only a pattern matches", "10.0.0.5 regax\n", `10.0.0.5 regax\n${OURS}`],
    ["the name in a comment", "# 127.0.0.1 reg.x\n", `# 127.0.0.1 reg.x\n${OURS}`],
  ])("gives the name to this machine where there is %s", (_, before, after) => {
    expect(withHost(before, "reg.x")).toBe(after)
    expect(withHost(after, "reg.x")).toBe(after)
  })
})

describe("withoutHost()", () => {
  test.each([
    ["its own line", `127.0.0.1 localhost\n${OURS}`, "127.0.0.1 localhost\n"],
    ["nothing of others", "127.0.0.1 localhost reg.x\n10.0.0.5 b", "127.0.0.1 localhost reg.x\n10.0.0.5 b"],
    ["nothing for another name", "127.0.0.1 reg.y # registry-facade\n", "127.0.0.1 reg.y # registry-facade\n"],
  ])("takes out %s", (_, before, after) => {
    expect(withoutHost(before, "reg.x").trimEnd()).toBe(after.trimEnd())
  })
})
