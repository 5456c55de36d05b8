import { describe, expect, test } from "bun:test"
import { type Found, HotAnswers } from "../../src/http/blobserve/hot-answers.ts"
import { digestOf } from "../../src/oci/digest.ts"

const KIB = 1024
const digest = digestOf("x")

function found(size: number): Found {
  const entry = { path: "f", type: "file", link: "", mode: 0, mtime: 0, size, offset: 0, sha256: "" } as const
  const descriptor = { mediaType: "text/plain", digest, size }
  return {
    path: "f",
    target: { repository: "r", tag: "t", digest: null, path: "f", isDirectory: false },
    repository: { cors: [], inlineStatic: [], isListed: true, layers: "all", replacements: new Map(), workdir: "" },
    file: {
      kind: "file",
      entry,
      blob: { kind: "bytes", descriptor, bytes: new Uint8Array(size) },
      image: digest,
      layer: digest,
      isVerified: true,
    },
  }
}

const request = (name: string) => new Request(`http://localhost/r:t/${name}`)

describe("HotAnswers", () => {
  test("knows what a path has led to for a second", () => {
    const hot = new HotAnswers()
    hot.remember(request("a"), found(10), 1)

    expect(hot.find(request("a"), 901)?.path).toBe("f")
    expect(hot.find(request("a"), 1101)).toBeNull()
  })

  test("holds few contents, however many paths are asked for", () => {
    const hot = new HotAnswers()
    const names = Array.from({ length: 1000 }, (_, index) => `${index}`)
    for (const name of names) hot.remember(request(name), found(64 * KIB), 1)
    const held = names.filter((name) => hot.find(request(name), 2) !== null)

    expect(held.length).toBeGreaterThan(100)
    expect(held.length * 64 * KIB).toBeLessThanOrEqual(16 * KIB * KIB)
    expect(held.at(-1)).toBe("999")
  })
})
