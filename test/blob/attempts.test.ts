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
})
