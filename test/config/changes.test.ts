import { describe, expect, test } from "bun:test"
import { configChanges } from "../../src/config/changes.ts"

describe("configChanges()", () => {
  test.each([
    ["nothing", {}, {}, [], []],
    ["another order of keys", { port: 1, tagTTL: "1s" }, { tagTTL: "1s", port: 1 }, [], []],
    ["a key", { tagTTL: "1s" }, { tagTTL: "2s" }, ["registry.tagTTL"], []],
    ["a key that goes", { staticLayer: [] }, {}, ["registry.staticLayer"], []],
    ["something deep", { upstreams: { a: {} } }, { upstreams: { a: { ca: "b" } } }, ["registry.upstreams"], []],
    ["a login", {}, { requireAuth: true }, ["registry.requireAuth"], []],
    ["a certificate", { tls: { crt: "a" } }, { tls: { crt: "b" } }, ["registry.tls"], []],
    ["a port", { port: 1 }, { port: 2 }, [], ["registry.port"]],
    ["both", { store: "a" }, { store: "b", tagTTL: "1s" }, ["registry.tagTTL"], ["registry.store"]],
  ])("%s", (_, before, after, live, restart) => {
    expect(configChanges({ registry: before }, { registry: after })).toEqual({ live, restart })
  })

  test.each([
    ["repositories", { repos: {} }, { repos: { a: {} } }, ["blobserve.repos"], []],
    ["places on disk", { blobSpace: {} }, { blobSpace: { location: "a" } }, [], ["blobserve.blobSpace"]],
    [
      "all three at once",
      {},
      { allowAnyRepo: true, timeout: "1s", port: 1 },
      ["blobserve.allowAnyRepo", "blobserve.timeout"],
      ["blobserve.port"],
    ],
  ])("of blobserve: %s", (_, before, after, live, restart) => {
    expect(configChanges({ blobserve: before }, { blobserve: after })).toEqual({ live, restart })
  })

  test("a section that comes or goes needs a restart as a whole", () => {
    const files = { repos: { a: {} }, port: 1 }
    const restart = ["blobserve.port", "blobserve.repos"]
    expect(configChanges({ registry: {} }, { registry: {}, blobserve: files })).toEqual({ live: [], restart })
    expect(configChanges({ registry: {}, blobserve: files }, { registry: {} })).toEqual({ live: [], restart })
  })

  test("knows keys outside of sections", () => {
    const after = { prometheusAddr: ":1", shutdown: { delay: "1s" }, registry: {}, $schema: "x" }
    expect(configChanges({ registry: {} }, after)).toEqual({ live: ["shutdown"], restart: ["prometheusAddr"] })
  })
})
