import { describe, expect, test } from "bun:test"
import { Attempts } from "../../src/blob/attempts.ts"
import type { BlobSource } from "../../src/blob/blob.ts"
import { RegistryError } from "../../src/oci/error.ts"
import { PRODUCTION } from "../../src/tuning.ts"
import { descriptorOf } from "../helpers/disk-store.ts"
import { createFakeClock } from "../helpers/fake-clock.ts"
import { content } from "../helpers/images.ts"
import { never } from "../helpers/layers.ts"

const descriptor = descriptorOf(content("application/octet-stream", "x"))
const policy = { ...PRODUCTION.downloads, clock: createFakeClock(), random: () => 0 }

/** As a URL that is signed; only its origin may be shown. */
const signed = (signature: string): BlobSource => ({
  name: "content",
  origin: "url https://s3.test/layer?<redacted>",
  identity: `https://s3.test/layer?signature=${signature}`,
  find: async () => null,
})

describe("Attempts", () => {
  test("a URL that was signed anew is another chance, the same one is not", async () => {
    const attempts = new Attempts(descriptor, [signed("old")], policy)
    const first = await attempts.next(never)
    if (first === null) throw new Error("There is a source")
    attempts.failed(first, new RegistryError("DENIED", "403"), false)
    attempts.add([signed("old")])
    expect(await attempts.next(never)).toBeNull()

    attempts.add([signed("new")])
    expect((await attempts.next(never))?.identity).toContain("new")
  })

  test("messages tell where was looked, without the signatures", async () => {
    const attempts = new Attempts(descriptor, [signed("old"), signed("new")], policy)
    for (let source = await attempts.next(never); source !== null; source = await attempts.next(never))
      attempts.absent(source)

    expect(attempts.failure().message).toBe(
      `Cannot find blob ${descriptor.digest}: none of its sources has it (content url https://s3.test/layer?<redacted>)`,
    )
  })

  describe("with a hint", () => {
    const hint: BlobSource = { name: "ipfs", origin: "ipfs", isHint: true, find: async () => null }
    const upstream: BlobSource = { name: "upstream", origin: "registry.test/lab", find: async () => null }
    const atOnce = { ...policy, clock: PRODUCTION.clock } // a millisecond between two attempts
    const late = new Error("IPFS has not found it in time")
    const down = new RegistryError("UNAVAILABLE", "registry.test answered 503")

    /** What is asked in turn until all is given up. */
    async function asked(attempts: Attempts, errors: ReadonlyMap<BlobSource, Error>): Promise<string[]> {
      const names: string[] = []
      for (let source = await attempts.next(never); source !== null; source = await attempts.next(never)) {
        names.push(source.name)
        attempts.failed(source, errors.get(source), false)
      }
      return names
    }

    test("it is asked twice, the others as often as they may be", async () => {
      const attempts = new Attempts(descriptor, [hint, upstream], atOnce)
      const names = await asked(
        attempts,
        new Map([
          [hint, late],
          [upstream, down],
        ]),
      )

      expect(names.filter((name) => name === "ipfs")).toHaveLength(2)
      expect(names.filter((name) => name === "upstream")).toHaveLength(policy.perSource)
    })

    test.each([
      ["the registry is down", down],
      ["the registry does not have it", new RegistryError("BLOB_UNKNOWN", "registry.test does not have it")],
    ])("that %s is told as it is", async (_, error) => {
      const attempts = new Attempts(descriptor, [hint, upstream], atOnce)
      await asked(
        attempts,
        new Map([
          [hint, late],
          [upstream, error],
        ]),
      )

      expect(attempts.failure()).toBe(error)
    })

    test("why it takes so long is told of others", () => {
      const attempts = new Attempts(descriptor, [hint, upstream], atOnce)
      attempts.failed(upstream, down, false)
      attempts.failed(hint, late, false)

      expect(attempts.trouble).toBe(down)
    })

    test("where it was the only one, its failure is told", async () => {
      const attempts = new Attempts(descriptor, [hint], atOnce)
      await asked(attempts, new Map([[hint, late]]))

      expect(attempts.failure().message).toContain("ipfs: IPFS has not found it in time")
    })
  })
})
