import type { Pair } from "./certificates.ts"
import type { TestImage } from "./images.ts"

export interface TlsRegistry {
  readonly port: number
  /** The Host header of every request. */
  readonly seen: readonly string[]
  stop(): Promise<void>
}

/** A registry over TLS that has one image, by the tag `1` of every repository. */
export function startTlsRegistry(image: TestImage, { crt, key }: Pair, port = 0): TlsRegistry {
  const seen: string[] = []
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port,
    tls: { cert: Bun.file(crt), key: Bun.file(key) },
    fetch: (request) => {
      seen.push(request.headers.get("host") ?? "")
      const { pathname } = new URL(request.url)
      const found = pathname.endsWith("/manifests/1")
        ? image.manifest
        : image.blobs.find(({ digest }) => pathname.endsWith(digest))
      return found === undefined
        ? new Response(null, { status: 404 })
        : new Response(found.bytes, { headers: { "content-type": found.mediaType } })
    },
  })
  return { port: server.port ?? port, seen, stop: async () => await server.stop(true) }
}
