import { Elysia } from "elysia"
import { type Condition, isBlocking, type Readiness } from "../telemetry/readiness.ts"

/**
 * `/ready`: whether others should send requests here. `/live`: whether the process should be restarted; it answers, so
 * it should not, and what else is out of order no restart would mend. Both tell what is known, and ask nobody.
 */
export function probesApp(readiness: Readiness): (request: Request) => Promise<Response> {
  const app = new Elysia({ name: "probes", normalize: false, handler: { standardHostname: false } })
    .get("/ready", ({ request }) => answer(request, readiness.isReady, readiness.conditions))
    .get("/live", ({ request }) => answer(request, true, readiness.conditions))
    .onError(() => new Response("Not found, probes are at /ready and /live\n", { status: 404 }))
  return async (request) => await app.fetch(request)
}

function answer({ url }: Request, isWell: boolean, conditions: readonly Condition[]): Response {
  const status = isWell ? 200 : 503
  const headers = { "cache-control": "no-store" }
  if (/\?(?:.*&)?verbose(?:[=&]|$)/.test(url)) {
    const body = { status: isWell ? "ok" : "failed", conditions }
    return new Response(`${JSON.stringify(body, null, 2)}\n`, {
      status,
      headers: { ...headers, "content-type": "application/json" },
    })
  }
  const failed = conditions.filter(({ state }) => isBlocking(state)).map(({ name, reason }) => `${name}: ${reason}\n`)
  return new Response(isWell ? "ok\n" : failed.join(""), { status, headers })
}
