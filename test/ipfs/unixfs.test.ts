import { describe, expect, test } from "bun:test"
import { importBytes } from "ipfs-unixfs-importer"
import { fixedSize } from "ipfs-unixfs-importer/chunker"
import { balanced } from "ipfs-unixfs-importer/layout"
import type { CID } from "multiformats/cid"
import { PROFILE_NAMES } from "../../src/config/sharing.ts"
import { type Cid, derivedCid, parseCid } from "../../src/ipfs/cid.ts"
import { PROFILES, type Profile, UnixfsHasher } from "../../src/ipfs/unixfs.ts"
import { digestOf } from "../../src/oci/digest.ts"
import { findProgram, needs, output } from "../helpers/programs.ts"
import { tempDir } from "../helpers/temp-dir.ts"

const MIB = 1024 * 1024
const profile = (name: string): Profile => PROFILES[name] as Profile

/** In pieces of odd sizes, as a transfer brings them. */
function cidOf(bytes: Uint8Array, { pieces = 65_537, name = "unixfs-v1-2025" } = {}): Cid {
  const hasher = new UnixfsHasher(profile(name))
  for (let offset = 0; offset < bytes.byteLength; offset += pieces)
    hasher.update(bytes.subarray(offset, offset + pieces))
  return hasher.cid()
}

describe("the CID of content", () => {
  test.each([
    ["nothing", 0, "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"],
    ["one zero", 1, "bafkreidogqfzz75tpkmjzjke425xqcrmpcib2p5tg44hnbirumdbpl5adu"],
  ])("of %s is known", (_, size, cid) => {
    expect(cidOf(new Uint8Array(size))).toBe(cid as Cid)
  })

  test("does not depend on the pieces that it comes in", () => {
    const bytes = new Uint8Array(3 * MIB + 17).map((_, index) => (index * 31) % 251)

    expect(new Set([1000, MIB, MIB + 1, bytes.byteLength].map((pieces) => cidOf(bytes, { pieces }))).size).toBe(1)
  })

  test("is its digest where it fits into one block", () => {
    const bytes = new Uint8Array(MIB).fill(7)

    expect(derivedCid(digestOf(bytes, "sha256"), MIB, MIB)).toBe(cidOf(bytes))
    expect(derivedCid(digestOf(bytes, "sha256"), MIB + 1, MIB)).toBeNull()
    expect(derivedCid(digestOf(bytes, "sha512"), 10, MIB)).toBeNull()
  })

  test("every profile that a configuration can name exists", () => {
    expect(Object.keys(PROFILES)).toEqual(PROFILE_NAMES)
  })

  test("C-10: is that of another implementation", async () => {
    const nowhere = { put: async (cid: CID) => cid }
    for (const size of [0, 1, 262_144, 262_145, MIB, MIB + 1, 5_000_000, 46_000_000]) {
      const bytes = new Uint8Array(size)
      for (let index = 0; index < size; index += 97) bytes[index] = (index * 2_654_435_761) >>> 24
      for (const { name, chunkBytes, links } of Object.values(PROFILES)) {
        const how = {
          cidVersion: 1,
          rawLeaves: true,
          chunker: fixedSize({ chunkSize: chunkBytes }),
          layout: balanced({ maxChildrenPerNode: links }),
        } as const
        const { cid } = await importBytes(bytes, nowhere, how)
        expect(`${size} ${name} ${cidOf(bytes, { name })}`).toBe(`${size} ${name} ${cid}`)
      }
    }
  })

  const required = needs("ipfs")
  test.skipIf(required.isMissing)(
    `C-10: is Kubo's own${required.note}`,
    async () => {
      const dir = tempDir()
      const env = { IPFS_PATH: `${dir}/repo` }
      const ipfs = findProgram("ipfs") ?? "ipfs"
      await output([ipfs, "init", "--profile=test"], { env })
      for (const size of [0, 1, 262_144, 262_145, MIB, MIB + 1, 5_000_000, 46_000_000, 100 * MIB]) {
        const bytes = new Uint8Array(size)
        for (let index = 0; index < size; index += 97) bytes[index] = (index * 2_654_435_761) >>> 24
        await Bun.write(`${dir}/file`, bytes)
        for (const { name, chunkBytes, links } of Object.values(PROFILES)) {
          const how = ["--cid-version=1", "--raw-leaves", `--chunker=size-${chunkBytes}`, `--max-file-links=${links}`]
          const theirs = await output([ipfs, "add", "-Q", "--only-hash", ...how, `${dir}/file`], { env })
          expect(`${size} ${name} ${cidOf(bytes, { name })}`).toBe(`${size} ${name} ${theirs.trim()}`)
        }
      }
    },
    60_000,
  )
})

describe("parsing a CID", () => {
  const cid = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"

  test.each([
    ["version 1 in base32", cid, cid],
    ["version 1 in base58", "zb2rhmy65F3REf8SZp7De11gxtECBGgUKaLdiDj7MCGCHxbDW", cid],
    [
      "version 0",
      "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWKcyB4",
      "bafybeie5nqv6kd3qnfjupgvz34woh3oksc3iau6abmyajn7qvtf47wt5l4",
    ],
  ])("%s becomes version 1 in base32", (_, text, parsed) => {
    expect(parseCid(text)).toBe(parsed as Cid)
  })

  test.each(["", "x", "../../etc/passwd", `${cid}/../..`, `${cid}?a`])("%p is none", (text) => {
    expect(parseCid(text)).toBeNull()
  })
})
