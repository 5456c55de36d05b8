import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import type { Mode } from "../helpers/facade.ts"
import { type FileServer, startFiles } from "../helpers/files.ts"
import { until } from "../helpers/until.ts"
import { startUpstream, type UpstreamServer } from "../helpers/upstream-server.ts"

setDefaultTimeout(20_000)

describe.each(["source", "binary"] as Mode[])("a file that cannot be had, from %s,", (mode) => {
  let upstream: UpstreamServer
  let server: FileServer
  let path: string
  let answer: Response

  beforeAll(async () => {
    upstream = startUpstream()
    upstream.roles.push(() => new Response("no", { status: 500 }))
    server = await startFiles({ mode, blobserve: { repos: { [`${upstream.host}/lab/app`]: {} } } })
    path = `/${upstream.host}/lab/app:1/f`
    answer = await server.get(`${path}?tkn=canary-query`)
    await until(() => server.logs.some((entry) => entry["message"] === "request" && entry["status"] === 503))
  })
  afterAll(async () => {
    await server.stop()
    upstream.stop()
  })

  test("is logged as the client was told, for whoever reads the errors", async () => {
    const text = await answer.text()
    const logged = server.logs.filter(({ message }) => message === "cannot answer")

    expect(answer.status).toBe(503)
    expect(logged).toEqual([expect.objectContaining({ level: "error", code: "UNAVAILABLE", path, error: text.trim() })])
  })

  test("leaves nothing of the query in the log", () => {
    expect(JSON.stringify(server.logs)).not.toContain("canary")
  })
})
