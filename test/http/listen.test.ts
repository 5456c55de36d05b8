import { describe, expect, spyOn, test } from "bun:test"
import { writeFileSync } from "node:fs"
import { connect, type Socket } from "node:net"
import { join } from "node:path"
import { type Listener, type ListenOptions, listen } from "../../src/http/server.ts"
import { createLogger } from "../../src/telemetry/log.ts"
import { RequestTally } from "../../src/telemetry/request-tally.ts"
import { tempDir } from "../helpers/temp-dir.ts"
import { until } from "../helpers/until.ts"

const log = createLogger({ format: "json", version: "test", level: () => "error", write: () => {} })
const OPTIONS = {
  handle: () => new Response("here"),
  log,
  metrics: null,
  maxConcurrent: 10,
  stall: { patientRequests: 5, seconds: 4, idleSeconds: 180 },
  mayShare: false,
}
const open = (hostname: string, port: number) => listen({ ...OPTIONS, hostname, port })

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

  describe("what is known before", () => {
    const body = new Blob(["known"])
    const tally = new RequestTally({ method: "GET", path: "/known", status: 200, bytes: body.size })
    const answer = { body, init: { headers: new Headers() }, tally }

    /** Gives what was answered, whether the connection stays, and how many instant answers were sent. */
    async function askWith(options: Partial<ListenOptions>, prepare: (listener: Listener) => void = () => {}) {
      const sent: number[] = []
      const find = ({ url }: Request) => (url.endsWith("/known") ? answer : null)
      const instant = { route: "file" as const, find, sent: (seconds: number) => void sent.push(seconds) }
      const listener = listen({ ...OPTIONS, instant, hostname: "127.0.0.1", port: 0, ...options })
      try {
        prepare(listener)
        const response = await fetch(`http://127.0.0.1:${listener.port}/known`)
        const other = await (await fetch(`http://127.0.0.1:${listener.port}/other`)).text()
        expect(other).toBe("here")
        return [await response.text(), response.headers.get("connection") ?? "stays", sent.length]
      } finally {
        await listener.stop(true)
      }
    }

    test("is answered at once", async () => {
      expect(await askWith({})).toEqual(["known", "stays", 1])
    })

    test("is answered as all else where connections have to go", async () => {
      expect(await askWith({}, (listener) => listener.retire())).toEqual(["here", "close", 0])
      expect(await askWith({ openFiles: { areScarce: true, areSpent: false } })).toEqual(["here", "close", 0])
    })

    test("is answered as all else where much is under way", async () => {
      const stall = { ...OPTIONS.stall, patientRequests: 0 }
      expect(await askWith({ stall })).toEqual(["here", "stays", 0])
    })
  })

  test("[F7] has no limit of its own for clients that are slow", async () => {
    const serve = spyOn(Bun, "serve")
    const listener = open("127.0.0.1", 0)
    const [options] = serve.mock.calls[0] ?? []
    serve.mockRestore()
    await listener.stop(true)

    expect(options?.idleTimeout).toBe(0) // Bun's default closes a connection at 10 s, also of a client that reads slowly
  })

  test("[F5] connections on which nothing is asked any more are closed, and large answers are not", async () => {
    const large = new Uint8Array(4 * 1024 * 1024)
    const handle = async (request: Request) => {
      if (request.url.endsWith("/text")) return new Response("here") // whose length Bun tells, and no header yet
      const body = request.url.endsWith("/large") ? large : new TextEncoder().encode("here")
      return new Response(body, { headers: { "content-length": String(body.byteLength) } })
    }
    const stall = { patientRequests: 10, seconds: 240, idleSeconds: 4 }
    const listener = listen({ ...OPTIONS, stall, handle, hostname: "127.0.0.1", port: 0 })
    const ask = (path: string) => {
      const socket = connect(listener.port, "127.0.0.1")
      socket.write(`GET ${path} HTTP/1.1\r\nHost: here\r\n\r\n`)
      return socket
    }
    const stalled = ask("/large")
    await new Promise((resolve) => stalled.once("data", resolve))
    stalled.pause()
    let isCut = false
    stalled.once("close", () => {
      isCut = true
    })
    for (const idle of [ask("/small"), ask("/text")])
      await new Promise((resolve) => idle.resume().once("close", resolve))

    expect(isCut).toBe(false)
    stalled.destroy()
    await listener.stop(true)
  }, 30_000)

  test("[F5] connections on which nothing is asked after a large answer are closed, too", async () => {
    const large = new Uint8Array(4 * 1024 * 1024)
    const path = join(tempDir(), "large")
    writeFileSync(path, large)
    const handle = async (request: Request) => {
      if (request.url.endsWith("/stream")) return new Response(new Blob([large]).stream())
      const body = request.url.endsWith("/file") ? Bun.file(path) : large
      return new Response(body, { headers: { "content-length": String(large.byteLength) } })
    }
    const stall = { ...OPTIONS.stall, idleSeconds: 4 }
    const listener = listen({ ...OPTIONS, stall, handle, hostname: "127.0.0.1", port: 0 })
    const received = await Promise.all(
      ["/stream", "/file", "/bytes"].map(async (target) => {
        const socket = connect(listener.port, "127.0.0.1")
        let count = 0
        socket.on("data", (data) => {
          count += data.length
        })
        socket.write(`GET ${target} HTTP/1.1\r\nHost: here\r\n\r\n`)
        await new Promise((resolve) => socket.once("close", resolve))
        return count
      }),
    )

    expect(received.filter((count) => count > large.byteLength)).toHaveLength(3)
    await listener.stop(true)
  }, 30_000)

  test("[F5] connections that bring no request, or none in time, are closed", async () => {
    const listener = open("127.0.0.1", 0)
    const silent = connect(listener.port, "127.0.0.1")
    const slow = connect(listener.port, "127.0.0.1")
    slow.on("error", () => {}) // it writes until it is told
    slow.write("GET / HTTP/1.1\r\nX: ")
    const drip = setInterval(() => slow.write("a"), 1000)
    await Promise.all([silent, slow].map((socket) => new Promise((resolve) => socket.resume().once("close", resolve))))
    clearInterval(drip)

    await listener.stop(true)
  }, 30_000)

  test("[F5] where few files are left, a connection ends with its answer, and where none is, that is to come back", async () => {
    const openFiles = { areScarce: true, areSpent: false }
    const listener = listen({ ...OPTIONS, openFiles, hostname: "127.0.0.1", port: 0 })
    const ask = async () => await fetch(`http://127.0.0.1:${listener.port}/`)
    const scarce = await ask()
    openFiles.areSpent = true
    const spent = await ask()

    expect([scarce.status, scarce.headers.get("connection")]).toEqual([200, "close"])
    expect([spent.status, spent.headers.get("connection")]).toEqual([503, "close"])
    expect(Number(spent.headers.get("retry-after"))).toBeGreaterThanOrEqual(1)
    await listener.stop(true)
  })

  const bytes = new Uint8Array(16 * 1024 * 1024) // more than a socket takes
  const file = join(tempDir(), "large")

  test.each([
    ["bytes", () => bytes],
    ["a file", () => Bun.file(file)],
  ] as const)(
    "[F6] clients that stall on %s hold half of what can be served, and never all of it",
    async (_, large) => {
      writeFileSync(file, bytes)
      const handle = async (request: Request) => new Response(request.url.endsWith("/large") ? large() : "here")
      const listener = listen({ ...OPTIONS, handle, hostname: "127.0.0.1", port: 0 })
      const stalled = new Set<Socket>()
      const stall = async () => {
        const socket = connect(listener.port, "127.0.0.1")
        stalled.add(socket)
        socket.on("error", () => {})
        socket.write("GET /large HTTP/1.1\r\nHost: here\r\n\r\n")
        const first = await new Promise<Buffer>((resolve) => socket.once("data", resolve))
        socket.pause()
        return first.toString("latin1", 9, 12)
      }
      const statuses: string[] = []
      while (statuses.at(-1) !== "503") statuses.push(await stall())
      expect(statuses).toEqual([...new Array(10).fill("200"), "503"])

      const status = async () => (await fetch(`http://127.0.0.1:${listener.port}/`, { keepalive: false })).status
      await until(async () => (await status()) === 200, 30_000)
      // The other half still stalls
      const more = [await stall(), await stall(), await stall(), await stall(), await stall(), await stall()]
      expect(more).toEqual(["200", "200", "200", "200", "200", "503"])
      for (const socket of stalled) socket.destroy()
      await listener.stop(true)
    },
    40_000,
  )
})
