import { describe, expect, test } from "bun:test"
import { keepClosed } from "../../src/config/keep-closed.ts"
import { parseConfig } from "../../src/config/load.ts"

type Section = Readonly<Record<string, unknown>>

const parse = (registry: Section) => parseConfig("/etc/config.json", JSON.stringify({ registry }), {})
const LOGIN = { requireAuth: true, auth: { htpasswd: "users" } }
const TLS = { tls: { crt: "tls.crt", key: "tls.key" } }
const MUTUAL = { tls: { ...TLS.tls, clientCA: "clients.crt" } }
const OTHER = { tls: { crt: "other.crt", key: "other.key" } }

describe("keepClosed()", () => {
  test.each<[string, Section, Section, Section]>([
    ["a login", LOGIN, {}, LOGIN],
    ["a login and other files of TLS", { ...LOGIN, ...TLS }, OTHER, { ...LOGIN, ...OTHER }],
    ["client certificates", MUTUAL, TLS, MUTUAL],
    ["client certificates, with their TLS", MUTUAL, {}, MUTUAL],
    ["the TLS of passwords", { ...LOGIN, ...TLS }, LOGIN, { ...LOGIN, ...TLS }],
    ["the TLS of a login that is kept", { ...LOGIN, ...TLS }, {}, { ...LOGIN, ...TLS }],
  ])("keeps %s", (_, before, after, kept) => {
    const change = { tagTTL: "2h" }
    expect(keepClosed(parse(before), parse({ ...after, ...change }))).toEqual(parse({ ...kept, ...change }))
  })

  test.each<[string, Section, Section]>([
    ["a first login", {}, LOGIN],
    ["other users", LOGIN, { ...LOGIN, auth: { htpasswd: "others" } }],
    ["TLS", LOGIN, { ...LOGIN, ...TLS }],
    ["no TLS where no passwords come", TLS, {}],
    ["client certificates", TLS, MUTUAL],
    ["other authorities of clients", MUTUAL, { tls: { ...MUTUAL.tls, clientCA: "others.crt" } }],
  ])("lets %s come", (_, before, after) => {
    const next = parse(after)
    expect(keepClosed(parse(before), next)).toBe(next)
  })

  test("keeps a registry that is gone from the file", () => {
    const next = parseConfig("/etc/config.json", JSON.stringify({ blobserve: {} }), {})
    const kept = keepClosed(parse(LOGIN), next)

    expect(kept.registry).toEqual(parse(LOGIN).registry)
    expect(kept.written).toEqual({ blobserve: {}, registry: LOGIN })
  })
})
