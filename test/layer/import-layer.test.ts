import { describe, expect, test } from "bun:test"
import { openDiscard } from "../../src/blob/discard-spool.ts"
import { withFallback } from "../../src/blob/fallback-spool.ts"
import { importLayer } from "../../src/layer/import-layer.ts"
import { StoreBypass } from "../../src/store/store.ts"
import { layer } from "../helpers/images.ts"
import { never } from "../helpers/layers.ts"

describe("importLayer()", () => {
  test("tells what the layer is although the disk fails when it is to be kept", async () => {
    const archive = await layer({ "a.txt": "a" }, "plain")
    let isClosed = false
    const failing = async () => ({
      isWindow: false,
      write: async () => {},
      read: async () => new Uint8Array(1),
      advance: () => {},
      reset: async () => {},
      keep: () => Promise.reject(new StoreBypass("enospc", "The disk store cannot be written: ENOSPC")),
      close: async () => {
        isClosed = true
      },
    })

    const facts = await importLayer(withFallback(failing, openDiscard), new Blob([archive.bytes]).stream(), never)
    expect(facts).toMatchObject({ digest: archive.digest, encoding: "none" })
    expect(isClosed).toBe(true)
  })
})
