import type { BlobSource } from "../../src/blob/blob.ts"
import { descriptorOf } from "./disk-store.ts"
import type { Content } from "./images.ts"

/** An upstream that gives a blob at once. */
export const sourceOf = (blob: Content): BlobSource => ({
  name: "upstream",
  origin: "up.test",
  find: async () => ({ kind: "bytes", descriptor: descriptorOf(blob), bytes: blob.bytes }),
})
