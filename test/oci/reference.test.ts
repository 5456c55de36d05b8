import { describe, expect, test } from "bun:test"
import fc from "fast-check"
import {
  formatReference,
  isDigestTag,
  isRepositoryName,
  isTag,
  parseReference,
  parseRegistryReference,
} from "../../src/oci/reference.ts"

const DIGEST = `sha256:${"ab".repeat(32)}`

describe("parseReference()", () => {
  test.each([
    ["ubuntu", "docker.io/library/ubuntu:latest"],
    ["ubuntu:24.04", "docker.io/library/ubuntu:24.04"],
    ["library/ubuntu", "docker.io/library/ubuntu:latest"],
    ["docker.io/ubuntu", "docker.io/library/ubuntu:latest"],
    ["index.docker.io/ubuntu:1", "docker.io/library/ubuntu:1"],
    ["registry-1.docker.io/acme/tool", "docker.io/acme/tool:latest"],
    ["Docker.IO/ubuntu", "docker.io/library/ubuntu:latest"],
    ["acme/tool", "docker.io/acme/tool:latest"],
    ["acme/group/tool:v1", "docker.io/acme/group/tool:v1"],
    ["localhost", "docker.io/library/localhost:latest"],
    ["localhost/tool", "localhost/tool:latest"],
    ["localhost:5000/tool", "localhost:5000/tool:latest"],
    ["localhost:5000", "docker.io/library/localhost:5000"],
    ["ghcr.io/acme/tool:1.2-rc_1", "ghcr.io/acme/tool:1.2-rc_1"],
    ["GHCR.io/acme/tool", "ghcr.io/acme/tool:latest"],
    ["registry:5000/a/b/c:tag", "registry:5000/a/b/c:tag"],
    ["10.0.0.7:5000/tool", "10.0.0.7:5000/tool:latest"],
    ["[::1]:5000/tool:x", "[::1]:5000/tool:x"],
    ["[2001:DB8::1]/tool", "[2001:db8::1]/tool:latest"],
    [`ubuntu@${DIGEST}`, `docker.io/library/ubuntu@${DIGEST}`],
    [`ghcr.io/acme/tool:v1@${DIGEST}`, `ghcr.io/acme/tool:v1@${DIGEST}`],
    ["a/b__c/d--e.f_g", "docker.io/a/b__c/d--e.f_g:latest"],
    [`x.io/${"a".repeat(255)}`, `x.io/${"a".repeat(255)}:latest`],
    [`x.io/a:${"t".repeat(128)}`, `x.io/a:${"t".repeat(128)}`],
    ["scratch", "scratch"],
    ["scratch:latest", "docker.io/library/scratch:latest"],
    ["oci:base", "oci:base"],
    ["oci:/srv/images/base:24.04", "oci:/srv/images/base:24.04"],
    [`oci:../base@${DIGEST}`, `oci:../base@${DIGEST}`],
    [`oci:base:v1@${DIGEST}`, `oci:base:v1@${DIGEST}`],
    ["oci:/home/me@work/base", "oci:/home/me@work/base"],
    ["oci:/home/me@work/base:1", "oci:/home/me@work/base:1"],
    ["oci:dir.with:colon/base", "oci:dir.with:colon/base"],
  ])("%s is %s", (text, canonical) => {
    const reference = parseReference(text)

    expect(formatReference(reference)).toBe(canonical)
    expect(parseReference(canonical)).toEqual(reference)
  })

  test("a digest wins over the tag, which stays for people to read", () => {
    expect(parseReference(`ghcr.io/acme/tool:v1@${DIGEST}`)).toMatchObject({ tag: "v1", digest: DIGEST })
    expect(parseReference(`ghcr.io/acme/tool@${DIGEST}`)).toMatchObject({ tag: null, digest: DIGEST })
  })

  test.each([
    ["", "a repository is lower-case words"],
    ["Acme/tool", "a repository is lower-case words"],
    ["acme/Tool", "a repository is lower-case words"],
    ["-acme/tool", "a repository is lower-case words"],
    ["acme//tool", "a repository is lower-case words"],
    ["acme/tool/", "a repository is lower-case words"],
    ["ghcr.io/", "a repository is lower-case words"],
    ["ghcr.io/../etc", "a repository is lower-case words"],
    ["a___b", "a repository is lower-case words"],
    [`x.io/${"a".repeat(256)}`, "a repository is lower-case words"],
    ["acme/tool:", 'the tag "" is not valid'],
    ["acme/tool:.v1", 'the tag ".v1" is not valid'],
    ["acme/tool:a b", 'the tag "a b" is not valid'],
    [`acme/tool:${"t".repeat(129)}`, "is not valid"],
    ["exa_mple.com/tool", 'the host "exa_mple.com" is not valid'],
    ["-x.io/tool", 'the host "-x.io" is not valid'],
    ["x.io:port/tool", 'the host "x.io:port" is not valid'],
    ["x.io:99999/tool", 'the host "x.io:99999" is not valid'],
    ["[:::1]/tool", 'the host "[:::1]" is not valid'],
    ["https://ghcr.io/acme/tool", "expected no scheme"],
    ["docker://ubuntu", "expected no scheme"],
    ["ubuntu@latest", "expected sha256:<64 lower-case"],
    [`ubuntu@${DIGEST.slice(0, -1)}`, "expected 64 hexadecimal characters, got 63"],
    [`ubuntu@md5:${"0".repeat(32)}`, "the algorithm is not supported"],
    ["oci:", "expected oci:DIR"],
    ["oci::tag", "expected oci:DIR"],
    ["oci:dir:", "expected oci:DIR"],
    ["oci:di\0r", "expected oci:DIR"],
    [`oci:@${DIGEST}`, "expected oci:DIR"],
  ])("refuses %j: %s", (text, reason) => {
    expect(() => parseReference(text)).toThrow(TypeError)
    expect(() => parseReference(text)).toThrow(reason)
  })

  test.each([
    "me:hunter2@ghcr.io/acme/tool",
    "me:hunter2@ghcr.io/acme/tool:v1",
    "me:hun@hunter2@ghcr.io/acme/tool",
    "me:hun/hunter2@ghcr.io/acme/tool",
    "https://me:hunter2@ghcr.io/acme/tool",
    "docker://me:hunter2@ghcr.io/acme/tool",
    "//me:hunter2@ghcr.io/acme/tool",
    `me:hunter2@ghcr.io/acme/tool@${DIGEST}`,
    "ME:hunter2@ghcr.io/acme/tool",
    "hunter2@ghcr.io/acme/tool",
  ])("never repeats a password that somebody wrote into %s", (text) => {
    expect(() => parseReference(text)).toThrow(/^(?!.*hunter2)Cannot parse image reference/s)
  })

  test("whatever is parsed is the same when printed and parsed again", () => {
    const text = fc.oneof(
      fc.string({ unit: fc.constantFrom(..."ab1.:/@-_[]A%"), maxLength: 24 }),
      fc
        .tuple(
          fc.constantFrom("", "x.io/", "localhost:5000/", "oci:", "oci:a/b"),
          fc.string({ unit: fc.constantFrom(..."ab/._-"), maxLength: 12 }),
          fc.constantFrom("", ":v1", `@${DIGEST}`, `:v1@${DIGEST}`),
        )
        .map((parts) => parts.join("")),
    )
    fc.assert(
      fc.property(text, (input) => {
        let reference: ReturnType<typeof parseReference>
        try {
          reference = parseReference(input)
        } catch (error) {
          return expect(error).toBeInstanceOf(TypeError)
        }
        expect(parseReference(formatReference(reference))).toEqual(reference)
      }),
      { numRuns: 2000 },
    )
  })
})

describe("names and tags", () => {
  test("parseRegistryReference() takes no layout", () => {
    expect(() => parseRegistryReference("oci:dir/base")).toThrow(TypeError)
  })

  test.each([
    [`sha256-${"0".repeat(64)}`, true],
    [`sha256-${"0".repeat(64)}.sig`, true],
    [`sha256-${"0".repeat(64)}.att`, true],
    [`sha512-${"0".repeat(128)}`, false],
    [`sha256-${"0".repeat(64)}.txt`, false],
    [`sha256-${"0".repeat(63)}`, false],
    [`sha512-${"0".repeat(64)}`, true],
    ["latest", false],
  ])("isDigestTag(%s) is %p", (tag, expected) => {
    expect(isDigestTag(tag)).toBe(expected)
  })

  test.each([
    ["a", true],
    ["fixed/group/name", true],
    ["a.b-c_d__e", true],
    ["A", false],
    ["a..b", false],
    ["a/", false],
    ["", false],
    ["ä", false],
  ])("isRepositoryName(%j) is %p", (name, expected) => {
    expect(isRepositoryName(name)).toBe(expected)
  })

  test.each([
    ["latest", true],
    ["_1.2-X", true],
    [".x", false],
    ["-x", false],
    ["", false],
    ["a/b", false],
  ])("isTag(%j) is %p", (tag, expected) => {
    expect(isTag(tag)).toBe(expected)
  })
})
