import { describe, expect, test } from "bun:test"
import { listen } from "../../src/http/server.ts"
import { createLogger } from "../../src/telemetry/log.ts"

const log = createLogger({ format: "json", version: "test", level: () => "error", write: () => {} })
const open = (hostname: string, port: number) =>
  listen({ hostname, port, handle: () => new Response("here"), log, metrics: null, maxConcurrent: 10, mayShare: false })

describe("listen()", () => {
  test("refuses a port that somebody listens on, instead of sharing it", async () => {
    const first = open("127.0.0.1", 0)

    expect(() => open("127.0.0.1", first.port)).toThrow(`Cannot listen on 127.0.0.1:${first.port}, it is taken`)
    await first.stop(true)
  })

  test("names the address that it cannot open", () => {
    expect(() => open("192.0.2.1", 0)).toThrow("Cannot listen on 192.0.2.1:0")
  })

  test("opens a port again as soon as it was closed", async () => {
    const first = open("127.0.0.1", 0)
    await first.stop(true)
    const second = open("127.0.0.1", first.port)

    expect(await (await fetch(`http://127.0.0.1:${second.port}/`)).text()).toBe("here")
    await second.stop(true)
  })
})
