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

  test("knows keys outside of sections", () => {
    const after = { prometheusAddr: ":1", shutdown: { delay: "1s" }, registry: {}, $schema: "x" }
    expect(configChanges({ registry: {} }, after)).toEqual({ live: ["shutdown"], restart: ["prometheusAddr"] })
  })
})
