import { describe, expect, test } from "bun:test"
import { StoredImageFinder } from "../../src/blobserve/image-finder.ts"
import { Ownership } from "../../src/blobserve/ownership.ts"
import { parseReference } from "../../src/oci/reference.ts"
import type { ImageReader } from "../../src/upstream/upstream.ts"
import { image } from "../helpers/images.ts"
import { AMD64, never } from "../helpers/layers.ts"
import { memoryImages } from "../helpers/memory-images.ts"
import { createWorkshop } from "../helpers/workshop.ts"

describe("StoredImageFinder", () => {
  test("reads the layers of an image that it knows from the upstreams as they are configured now", async () => {
    const { downloads, store } = await createWorkshop()
    const app = await image()
    const asked: string[] = []
    const readerNamed = (origin: string): ImageReader => {
      const images = memoryImages()
      images.addImage("a.test/app:1", app)
      const find = async () => {
        asked.push(origin)
        return null
      }
      return { ...images, blobs: () => [{ name: "upstream", origin, find }] }
    }
    let reader = readerNamed("before")
    const nothing = async () => {
      throw new Error("Not needed for a tag")
    }
    const finder = new StoredImageFinder({
      readers: () => ({ operator: reader, remote: reader }),
      ownership: new Ownership({ upstreams: nothing as never, documents: store, facts: store.facts("repository") }),
      facade: nothing as never,
      stores: [store],
      caches: [],
      downloads: { operator: downloads, remote: downloads },
    })
    const reference = parseReference("a.test/app:1")
    if (reference.kind === "scratch") throw new Error("It names an image")
    const found = async () =>
      await finder.find({ kind: "stored", reference, trust: "operator", repository: "a.test/app" }, AMD64, never)

    await found()
    reader = readerNamed("after")
    const [layer] = (await found()).layers
    await layer?.open(never).catch(() => {})
    expect(asked).toEqual(["after"])
    downloads.shutdown()
  })
})
