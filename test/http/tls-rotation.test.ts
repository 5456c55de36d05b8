import { afterEach, beforeAll, describe, expect, test } from "bun:test"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { parseCredentials, type TlsCredentials } from "../../src/http/tls/credentials.ts"
import { listenRotating, type RotatingListener } from "../../src/http/tls/rotating-listener.ts"
import { systemClock } from "../../src/lib/clock.ts"
import { createAuthority } from "../helpers/certificates.ts"
import { needs } from "../helpers/programs.ts"
import { silentLogger } from "../helpers/silent-logger.ts"
import { askTls, openTls } from "../helpers/tls-client.ts"
import { until } from "../helpers/until.ts"

/** Enough for a handshake and a request on a machine that does much else. */
const HANDOVER_MS = 750

const required = needs("openssl")
describe.skipIf(required.isMissing)(`listenRotating()${required.note}`, () => {
  const credentials: TlsCredentials[] = []
  let listener: RotatingListener
  const [first, second, third] = [0, 1, 2].map((index) => () => credentials[index] as TlsCredentials) as [
    () => TlsCredentials,
    () => TlsCredentials,
    () => TlsCredentials,
  ]

  beforeAll(async () => {
    const authority = await createAuthority()
    for (const name of ["first", "second", "third"]) {
      const { crt, key } = await authority.issue(name)
      const texts = [readFileSync(crt, "utf8"), readFileSync(key, "utf8")]
      credentials.push(parseCredentials({ crt, key, clientCA: null }, texts))
    }
  })
  afterEach(async () => await listener.stop(true))

  function open(handle: () => Response, handoverMs: number, port = 0): RotatingListener {
    const options = {
      hostname: "127.0.0.1",
      port,
      handle,
      log: silentLogger,
      metrics: null,
      maxConcurrent: 1000,
      stall: { patientRequests: 1000, seconds: 255, idleSeconds: 180 },
      mayShare: false,
    }
    listener = listenRotating({ ...options, credentials: first(), clock: systemClock, handoverMs })
    return listener
  }
  const shown = async () => (await askTls(listener.port, "/")).server

  test("shows new connections the new certificate at once, and the last of several soon", async () => {
    open(() => new Response("here"), 50)
    const seen = [await shown()]
    listener.rotate(second())
    seen.push(await shown())
    listener.rotate(first()) // never used: the next one comes before it can be
    listener.rotate(third())
    await until(async () => (await shown()) === "third")

    expect(seen).toEqual(["first", "second"])
  })

  test("I5: resets no connection while certificates are replaced under load", async () => {
    open(() => new Response("here"), HANDOVER_MS)
    const client = Bun.spawn([process.execPath, join(import.meta.dir, "../helpers/tls-load.ts"), `${listener.port}`], {
      stdio: ["pipe", "pipe", "inherit"],
    })
    for (let rotation = 0; rotation < 8; rotation += 1) {
      const [next, name] = rotation % 2 === 0 ? [second(), "second"] : [first(), "first"]
      listener.rotate(next)
      await until(async () => (await shown()) === name)
    }
    await client.stdin.end()
    const outcomes = JSON.parse(await new Response(client.stdout).text())

    expect(Object.keys(outcomes)).toEqual(["HTTP/1.1 200"])
    expect(outcomes["HTTP/1.1 200"]).toBeGreaterThan(100)
  }, 60_000)

  test("lets what is being sent end over its connection, long after the handover", async () => {
    const gate = Promise.withResolvers<void>()
    let isAsked = false
    const slow = () => {
      isAsked = true
      return new Response(
        new ReadableStream({
          pull: async (controller) => {
            controller.enqueue(new TextEncoder().encode("begin "))
            await gate.promise
            controller.enqueue(new TextEncoder().encode("end"))
            controller.close()
          },
        }),
      )
    }
    let answer = slow
    open(() => answer(), 1)
    const running = askTls(listener.port, "/slow")
    await until(() => isAsked)
    answer = () => new Response("quick")
    listener.rotate(second())
    await until(async () => (await shown()) === "second")
    listener.rotate(first())
    await until(async () => (await shown()) === "first")
    gate.resolve()
    const { server, text } = await running

    expect(server).toBe("first")
    expect(text).toMatch(/begin [\s\S]*end[\s\S]*0\r\n\r\n$/)
  })

  test("asks those who keep an old connection to close it, with their next answer", async () => {
    open(() => new Response("here"), 60_000)
    const socket = await openTls(listener.port)
    let received = ""
    let isClosed = false
    socket.on("data", (chunk) => {
      received += chunk.toString("latin1")
    })
    socket.on("close", () => {
      isClosed = true
    })
    socket.write("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await until(() => received.includes("here"))
    const before = received
    listener.rotate(second())
    socket.write("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await until(() => isClosed)

    expect(before).not.toMatch(/connection: close/i)
    expect(received.slice(before.length)).toMatch(/^HTTP\/1\.1 200 OK\r\nConnection: close\r\n[\s\S]*here$/i)
  })

  test("refuses a port that somebody has, although it can share its own", async () => {
    const other = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response("other") })
    const { port } = open(() => new Response("here"), 50)
    const again = () => {
      const stall = { patientRequests: 10, seconds: 255, idleSeconds: 180 }
      const options = {
        hostname: "127.0.0.1",
        log: silentLogger,
        metrics: null,
        maxConcurrent: 10,
        stall,
        mayShare: false,
      }
      const handle = () => new Response("second")
      listenRotating({ ...options, port, handle, credentials: first(), clock: systemClock, handoverMs: 50 })
    }

    expect(() => open(() => new Response("here"), 50, other.port)).toThrow("it is taken")
    expect(again).toThrow(`Cannot listen on 127.0.0.1:${port}, it is taken`)
    await other.stop(true)
  })

  test("opens the port that it is told", async () => {
    const probe = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response("") })
    const port = probe.port ?? 0
    await probe.stop(true)
    open(() => new Response("here"), 50, port)

    expect(listener.port).toBe(port)
    expect(await shown()).toBe("first")
  })
})
