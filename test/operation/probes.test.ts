import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test"
import { type RunningFacade, startFacade } from "../helpers/facade.ts"
import { image, layer } from "../helpers/images.ts"
import { addressOf, hasLogged, PROBES } from "../helpers/operation.ts"
import { until } from "../helpers/until.ts"
import { startUpstream, type UpstreamServer } from "../helpers/upstream-server.ts"

setDefaultTimeout(30_000)

const CONFIG = { readinessProbeAddr: "127.0.0.1:0", shutdown: { delay: "60s", grace: "60s" } }
const SPECS = { hello: { baseRef: "scratch", layers: [{ files: { "/a": "b" } }] } }

const running: (() => unknown)[] = []
afterEach(async () => {
  for (const stop of running.splice(0)) await stop()
})

async function start(options: Parameters<typeof startFacade>[0] = {}): Promise<RunningFacade & { probes: string }> {
  const facade = await startFacade({
    mode: "binary",
    specs: SPECS,
    ...options,
    config: { ...CONFIG, ...options.config },
  })
  running.push(facade.stop)
  return { ...facade, probes: await addressOf(facade, PROBES) }
}

function upstream(): UpstreamServer {
  const server = startUpstream()
  running.push(server.stop)
  return server
}

describe("probes", () => {
  test("say that a process which serves is ready and live", async () => {
    const { probes } = await start()

    const answers = await Promise.all(["ready", "live"].map((path) => fetch(`http://${probes}/${path}`)))

    expect(answers.map(({ status }) => status)).toEqual([200, 200])
  })

  test("?verbose gives what they know as JSON", async () => {
    const { probes } = await start()

    const answer = await fetch(`http://${probes}/ready?verbose`)

    expect(answer.headers.get("content-type")).toBe("application/json")
    expect(await answer.json()).toMatchObject({
      status: "ok",
      conditions: expect.arrayContaining([expect.objectContaining({ name: "serving", state: "ok" })]),
    })
  })

  test("D-16 readiness and liveness do not follow an upstream that is gone, and what was pulled is still served", async () => {
    const server = upstream()
    server.add("acme/base", "1", await image({ layers: [await layer({ a: "1" })] }))
    const facade = await start({
      specs: { hello: { baseRef: `${server.host}/acme/base:1` } },
      registry: { tagTTL: "0" },
    })
    expect((await facade.get("/v2/fixed/hello/manifests/latest")).status).toBe(200)
    server.stop()

    const again = await facade.get("/v2/fixed/hello/manifests/latest")
    const answers = await Promise.all(["ready", "live"].map((path) => fetch(`http://${facade.probes}/${path}`)))

    expect([again.status, ...answers.map(({ status }) => status)]).toEqual([200, 200, 200])
  })

  test("D-28 they answer in under 100 ms while an upstream takes for ever", async () => {
    const server = upstream()
    server.roles.push(() => new Promise(() => {}))
    const specs = { hello: { baseRef: `${server.host}/acme/base:1` } }
    const facade = await start({ specs })
    const pulls = Array.from({ length: 20 }, () => facade.get("/v2/fixed/hello/manifests/latest").catch(() => null))
    await until(() => server.seen.length > 0)

    const times: number[] = []
    for (let round = 0; round < 10; round += 1) {
      const startedAt = performance.now()
      const { status } = await fetch(`http://${facade.probes}/${round % 2 === 0 ? "ready" : "live"}`)
      times.push(performance.now() - startedAt)
      expect(status).toBe(200)
    }

    expect(Math.min(...times)).toBeLessThan(100)
    await facade.stop()
    await Promise.all(pulls)
  })

  test("I1 readiness turns red at once after SIGTERM and tells why, while liveness and pulls go on", async () => {
    const facade = await start()
    process.kill(facade.pid ?? 0, "SIGTERM")
    await until(() => hasLogged(facade.logs, "shutting down, not ready any more"))

    const ready = await fetch(`http://${facade.probes}/ready`)
    const live = await fetch(`http://${facade.probes}/live`)
    const pull = await facade.get("/v2/fixed/hello/manifests/latest")

    expect([ready.status, live.status, pull.status]).toEqual([503, 200, 200])
    expect(await ready.text()).toBe("serving: the process is shutting down\n")
    expect(pull.headers.get("connection")).toBe("close")
  })

  test.each(["/", "/ready/now", "/healthz"])("there is nothing at %s", async (path) => {
    const { probes } = await start()
    expect((await fetch(`http://${probes}${path}`)).status).toBe(404)
  })
})
