import type { Cluster, Redis } from "ioredis"

/** More than the largest document, several times. */
const MAX_BYTES = 32 * 1024 * 1024

/**
 * Cuts off a connection that brings more than any answer can be: the client itself would keep half a gigabyte of one
 * text in memory.
 */
export class FloodGuard {
  #unanswered = 0

  constructor(client: Redis | Cluster) {
    if ("nodes" in client) client.on("+node", (node: Redis) => this.#watch(node))
    else this.#watch(client)
  }

  /** What came until now was an answer. */
  answered(): void {
    this.#unanswered = 0
  }

  #watch(client: Redis): void {
    client.on("connect", () => {
      const { stream } = client
      this.#unanswered = 0
      stream.on("data", ({ byteLength }: Uint8Array) => {
        this.#unanswered += byteLength
        if (this.#unanswered > MAX_BYTES) stream.destroy(new Error("Redis sent more than any answer can be"))
      })
    })
  }
}
