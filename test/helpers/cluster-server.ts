/** What we use of an IPFS Cluster's REST API, without any peer behind it. */
export interface ClusterServer {
  readonly url: URL
  /** What it was asked to pin, oldest first: the CID, and the query. */
  readonly asked: { readonly cid: string; readonly query: Readonly<Record<string, string>> }[]
  /** As long as it is true, it takes nothing. */
  isRefusing: boolean
  stop(): void
}

export function startClusterServer(): ClusterServer {
  const asked: ClusterServer["asked"] = []
  const http = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: (request) => {
      const { pathname, searchParams } = new URL(request.url)
      if (pathname === "/id") return Response.json({ id: "12D3KooWQnwEGNqcM2nAcPtRR9rAX8Hrg4k9kJLCHoTR5chJfz6d" })
      if (server.isRefusing) return Response.json({ code: 500, message: "not enough peers" }, { status: 500 })
      const cid = pathname.replace("/pins/", "")
      asked.push({ cid, query: Object.fromEntries(searchParams) })
      return Response.json({ cid })
    },
  })
  const server: ClusterServer = {
    url: new URL(`http://127.0.0.1:${http.port}`),
    asked,
    isRefusing: false,
    stop: () => void http.stop(true),
  }
  return server
}
