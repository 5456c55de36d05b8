import type { JsonBlob } from "../oci/descriptor.ts"
import type { Digest } from "../oci/digest.ts"
import type { DocumentStore } from "../store/store.ts"

/** Documents of this node, then those of all; what either learns the other is told. */
export class SharedDocuments implements DocumentStore {
  readonly #own: DocumentStore
  readonly #shared: DocumentStore

  constructor(own: DocumentStore, shared: DocumentStore) {
    this.#own = own
    this.#shared = shared
  }

  async get(digest: Digest): Promise<Uint8Array<ArrayBuffer> | null> {
    return (await this.#own.get(digest)) ?? (await this.#shared.get(digest))
  }

  async put(document: JsonBlob): Promise<void> {
    await Promise.all([this.#own.put(document), this.#shared.put(document)])
  }
}
