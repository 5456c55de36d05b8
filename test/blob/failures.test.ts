import { describe, expect, test } from "bun:test"
import type { BlobSource } from "../../src/blob/blob.ts"
import { RegistryError } from "../../src/oci/error.ts"
import { descriptorOf } from "../helpers/disk-store.ts"
import { content } from "../helpers/images.ts"
import { never } from "../helpers/layers.ts"
import { createWorkshop } from "../helpers/workshop.ts"

const blob = content("application/octet-stream", "blob")
const descriptor = descriptorOf(blob)

describe("a failure of a moment ago", () => {
  test("answers for the sources that have failed, and for no others", async () => {
    const { downloads } = await createWorkshop()
    let asked = 0
    const refusing: BlobSource = {
      name: "content",
      origin: "url https://one.test/x",
      find: async () => {
        asked += 1
        throw new RegistryError("DENIED", "Cannot get https://one.test/x: expired")
      },
    }
    const having: BlobSource = {
      name: "content",
      origin: "url https://other.test/x",
      find: async () => ({ kind: "bytes", descriptor, bytes: new Uint8Array(blob.bytes) }),
    }
    const obtain = async (source: BlobSource) => await downloads.cold(descriptor, [source]).obtain(never)

    await expect(obtain(refusing)).rejects.toThrow("one.test")
    await expect(obtain(refusing)).rejects.toThrow("one.test")
    expect(asked).toBe(1)
    expect(await obtain(having)).toMatchObject({ descriptor })
    downloads.shutdown()
  })
})
