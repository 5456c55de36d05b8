import type { Content, TestImage, TestIndex } from "./images.ts"

export interface Seen {
  readonly method: string
  readonly path: string
  readonly headers: Headers
}

/** Answers a request in place of the registry; null leaves it to the registry. */
export type Role = (request: Request, url: URL) => Response | null | Promise<Response | null>

export interface UpstreamServer {
  /** host:port, as references write it. */
  readonly host: string
  readonly url: URL
  readonly seen: Seen[]
  /** Asked first, newest first; for everything that a good registry would not do. */
  readonly roles: Role[]
  add(repository: string, tag: string, image: TestImage | TestIndex): void
  addBlob(content: Content): void
  removeTag(repository: string, tag: string): void
  stop(): void
}

/** A registry in miniature that behaves well: manifests, blobs, Range, HEAD. Roles make it misbehave. */
export function startUpstream(): UpstreamServer {
  const blobs = new Map<string, Content>()
  const manifests = new Map<string, Content>()
  const seen: Seen[] = []
  const roles: Role[] = []
  const find = (path: string): Content | undefined => {
    const [, name, kind, reference = ""] = /^\/v2\/(.+)\/(manifests|blobs)\/([^/]+)$/.exec(path) ?? []
    return kind === "blobs" ? blobs.get(reference) : manifests.get(`${name}/${reference}`)
  }
  const serve = async (request: Request): Promise<Response> => {
    const url = new URL(request.url)
    seen.push({ method: request.method, path: url.pathname, headers: request.headers })
    for (const role of [...roles].reverse()) {
      const answer = await role(request, url)
      if (answer !== null) return answer
    }
    if (url.pathname === "/v2/") return Response.json({})
    const found = find(url.pathname)
    if (found === undefined) return new Response('{"errors":[{"code":"NOT_FOUND"}]}', { status: 404 })
    return contentResponse(request, found)
  }
  const server = Bun.serve({ hostname: "127.0.0.1", port: 0, idleTimeout: 0, fetch: serve })
  const addManifest = (repository: string, content: Content, tag?: string) => {
    manifests.set(`${repository}/${content.digest}`, content)
    if (tag !== undefined) manifests.set(`${repository}/${tag}`, content)
  }
  const addImage = (repository: string, image: TestImage, tag?: string) => {
    addManifest(repository, image.manifest, tag)
    for (const blob of image.blobs) blobs.set(blob.digest, blob)
  }
  return {
    host: `127.0.0.1:${server.port}`,
    url: new URL(`http://127.0.0.1:${server.port}`),
    seen,
    roles,
    add: (repository, tag, image) => {
      if ("manifest" in image) return addImage(repository, image, tag)
      addManifest(repository, image.index, tag)
      for (const one of image.images) addImage(repository, one)
    },
    addBlob: (content) => void blobs.set(content.digest, content),
    removeTag: (repository, tag) => void manifests.delete(`${repository}/${tag}`),
    stop: () => void server.stop(true),
  }
}

/** What a registry sends for content: HEAD, one range, or all of it. */
export function contentResponse(request: Request, { bytes, digest, mediaType, size }: Content): Response {
  const headers = { "content-type": mediaType, "docker-content-digest": digest, "accept-ranges": "bytes" }
  if (request.method === "HEAD") return new Response(null, { headers: { ...headers, "content-length": String(size) } })
  const [, first, last] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.get("range") ?? "") ?? []
  if (first === undefined) return new Response(bytes, { headers })
  const start = Number(first)
  const end = last === "" || last === undefined ? size : Number(last) + 1
  if (start >= size) return new Response(null, { status: 416, headers: { "content-range": `bytes */${size}` } })
  return new Response(bytes.slice(start, end), {
    status: 206,
    headers: { ...headers, "content-range": `bytes ${start}-${end - 1}/${size}` },
  })
}
