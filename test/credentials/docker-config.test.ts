import { describe, expect, test } from "bun:test"
import { findEntry, parseDockerConfig } from "../../src/credentials/docker-config.ts"
import { parseRegistryReference } from "../../src/oci/reference.ts"

const auth = (text: string) => ({ auth: Buffer.from(text).toString("base64") })
const stored = (username: string) => ({
  kind: "stored",
  credential: { kind: "password", username, password: "secret" },
})

/** What a file has for an image. */
const find = (file: unknown, image: string) =>
  findEntry(parseDockerConfig(JSON.stringify(file)), parseRegistryReference(image).repository) as unknown

describe("parseDockerConfig()", () => {
  test.each([
    ["auth", auth("me:secret"), { kind: "password", username: "me", password: "secret" }],
    ["a password with colons", auth("me:a:b"), { kind: "password", username: "me", password: "a:b" }],
    ["a password that ends with zero bytes", auth("me:x\0\0"), { kind: "password", username: "me", password: "x" }],
    ["user and password apart", { username: "u", password: "p" }, { kind: "password", username: "u", password: "p" }],
    ["an identity token", { ...auth("me:"), identitytoken: "id" }, { kind: "refresh", token: "id" }],
    ["a registry token", { registrytoken: "rt" }, { kind: "bearer", token: "rt" }],
    ["null in fields", { ...auth("a:b"), identitytoken: null }, { kind: "password", username: "a", password: "b" }],
  ])("reads %s", (_, entry, credential) => {
    expect(find({ auths: { "x.io": entry } }, "x.io/a")).toEqual({ kind: "stored", credential })
  })

  test.each([
    "docker.io",
    "index.docker.io",
    "registry-1.docker.io",
    "https://index.docker.io/v1/",
    "index.docker.io/v1/",
  ])("D-22: Docker Hub is found under %s", (key) => {
    for (const image of [
      "ubuntu",
      "docker.io/library/ubuntu:1",
      "index.docker.io/me/app",
      "registry-1.docker.io/me/app",
    ])
      expect(find({ auths: { [key]: auth("me:secret") } }, image)).toEqual(stored("me"))
  })

  test.each([
    ["https://x.io", "x.io/a"],
    ["https://x.io/v2/", "x.io/a"],
    ["http://x.io:5000/v1/", "x.io:5000/a"],
    ["X.io", "x.io/a"],
    ["x.io/", "x.io/a"],
  ])("the key %s is for %s", (key, image) => {
    expect(find({ auths: { [key]: auth("me:secret") } }, image)).toEqual(stored("me"))
  })

  test.each([
    ["x.io/team/app/sub:1", "sub"],
    ["x.io/team/app:1", "app"],
    ["x.io/team/other:1", "team"],
    ["x.io/team-two/app:1", "host"],
    ["x.io/else:1", "host"],
  ])("the longest path that fits wins: %s", (image, username) => {
    const auths = { "x.io": auth("host:secret"), "x.io/team": auth("team:secret"), "x.io/team/app": auth("app:secret") }
    const more = { ...auths, "x.io/team/app/sub": auth("sub:secret") }

    expect(find({ auths: more }, image)).toEqual(stored(username))
  })

  test.each([
    ["another port", { auths: { "x.io:5000": auth("a:b") } }],
    ["a host that only begins alike", { auths: { "x.io.evil.test": auth("a:b") } }],
    ["a subdomain", { auths: { "y.x.io": auth("a:b") } }],
    ["an entry without content", { auths: { "x.io": {} } }],
    ["a path of another repository", { auths: { "x.io/b": auth("a:b") } }],
    ["nothing at all", {}],
    ["null", { auths: null, credHelpers: null, credsStore: null }],
    ["other settings", { HttpHeaders: { "User-Agent": "x" }, psFormat: "y", credsStore: "" }],
  ])("%s is for nobody else", (_, file) => {
    expect(find(file, "x.io/a")).toBeNull()
  })

  test.each([
    ["a helper for the host", "x.io/a", { kind: "helper", helper: "ecr-login", server: "x.io" }],
    ["one for the repository before it", "x.io/team/a", { kind: "helper", helper: "team", server: "x.io/team" }],
    ["a helper before what is stored", "y.io/a", { kind: "helper", helper: "gcloud", server: "y.io" }],
    ["what is stored before the helper for everything", "z.io/a", stored("z")],
    ["the helper for everything", "else.io/a", { kind: "helper", helper: "pass", server: "else.io" }],
    [
      "Docker Hub by the name its clients use",
      "ubuntu",
      { kind: "helper", helper: "pass", server: "https://index.docker.io/v1/" },
    ],
  ])("finds %s", (_, image, expected) => {
    const file = {
      auths: { "y.io": auth("y:secret"), "z.io": auth("z:secret"), "else.io": {} },
      credHelpers: { "x.io": "ecr-login", "x.io/team": "team", "y.io": "gcloud" },
      credsStore: "pass",
    }
    expect(find(file, image)).toEqual(expected)
  })

  test.each([
    ["no JSON", "{", /line 1: close brace expected/],
    ["nothing", "", /the document is empty/],
    ["a list", "[]", /the document is not an object/],
    ["auths that are a text", '{"auths":"s3cret"}', /"auths" is not an object/],
    ["helpers that are a list", '{"credHelpers":["s3cret"]}', /"credHelpers" is not an object/],
  ])("%s is refused, without what stands there", (_, text, message) => {
    const failure = (() => {
      try {
        return parseDockerConfig(text)
      } catch (error) {
        return String(error)
      }
    })()
    expect(failure).toMatch(message)
    expect(failure).not.toMatch(/s3cret|czNjcmV0/)
  })

  type File = Readonly<Record<string, Readonly<Record<string, unknown>>>>

  test.each<[string, File, string]>([
    ["an entry that is a text", { auths: { "x.io": "s3cret" } }, '"auths" of x.io is not an object'],
    ["auth that is a number", { auths: { "x.io": { auth: 7 } } }, '"auth" of x.io is not a text'],
    ["auth without a colon", { auths: { "x.io": { auth: "czNjcmV0" } } }, '"auth" of x.io is not "user:password"'],
    [
      "a token with a line break",
      { auths: { "x.io": { registrytoken: "s3cret\n" } } },
      '"registrytoken" of x.io holds a space, a line break',
    ],
    [
      "a helper that leads elsewhere",
      { credHelpers: { "x.io": "../s3cret" } },
      '"credHelpers" of x.io is no name of a credential helper',
    ],
    ["a key with a password", { auths: { "https://me:s3cret@x.io": 7 } }, '"auths" of https://<redacted>@x.io is not'],
  ])("%s costs its own host the credential, and is told by its key alone", (_, file, problem) => {
    const others = { auths: { "y.io": auth("me:secret"), ...file["auths"] }, credsStore: "pass" }
    const text = JSON.stringify({ ...file, ...others })
    const config = parseDockerConfig(text)

    expect(config.problems).toEqual([expect.stringContaining(problem)])
    expect(config.problems.join()).not.toMatch(/s3cret|czNjcmV0/)
    expect(find(JSON.parse(text), "y.io/a")).toEqual(stored("me"))
    expect(find(JSON.parse(text), "z.io/a")).toMatchObject({ kind: "helper", helper: "pass" })
    if (!text.includes("@")) expect(find(JSON.parse(text), "x.io/a")).toEqual({ kind: "stored", credential: null })
  })

  test("a store that is an option costs those who have no entry theirs", () => {
    const file = { auths: { "y.io": auth("me:secret") }, credsStore: "-s3cret" }

    expect(parseDockerConfig(JSON.stringify(file)).problems).toEqual([expect.stringMatching(/"credsStore" is no name/)])
    expect([find(file, "y.io/a"), find(file, "x.io/a")]).toEqual([stored("me"), null])
  })

  test("an entry that is wrong takes nothing from another one for the same host", () => {
    const auths = { "docker.io": auth("me:secret"), "https://index.docker.io/v1/": { auth: 7 } }
    const turned = { "https://index.docker.io/v1/": { auth: 7 }, "docker.io": auth("me:secret") }

    expect([find({ auths }, "ubuntu"), find({ auths: turned }, "ubuntu")]).toEqual([stored("me"), stored("me")])
  })
})
