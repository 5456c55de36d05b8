import type { Role, UpstreamServer } from "./upstream-server.ts"

export interface TokenQuestion {
  readonly query: URLSearchParams
  readonly authorization: string | null
  /** Of a POST. */
  readonly form: URLSearchParams | null
}

export interface TokenServer {
  readonly url: URL
  /** Every request for a token, with what was sent along. */
  readonly asked: TokenQuestion[]
  /** Answers in place of the server; null leaves it to the server. */
  answer: ((number: number) => Response | null) | null
  readonly tokens: readonly string[]
  stop(): void
}

/** Gives a new token to everyone who asks. */
export function startTokenServer(): TokenServer {
  const tokens: string[] = []
  const asked: TokenQuestion[] = []
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: async (request) => {
      const form = request.method === "POST" ? new URLSearchParams(await request.text()) : null
      const { searchParams: query } = new URL(request.url)
      asked.push({ query, authorization: request.headers.get("authorization"), form })
      const answer = started.answer?.(asked.length) ?? null
      if (answer !== null) return answer
      tokens.push(`token-${asked.length}`)
      return Response.json({ token: tokens.at(-1), expires_in: 300 })
    },
  })
  const started: TokenServer = {
    url: new URL(`http://127.0.0.1:${server.port}/token`),
    asked,
    answer: null,
    tokens,
    stop: () => void server.stop(true),
  }
  return started
}

/** A registry that lets only those in who send what `isAllowed` likes, and tells the others to follow `challenge`. */
export function requireLogin(
  upstream: UpstreamServer,
  challenge: string,
  isAllowed: (authorization: string) => boolean,
): void {
  const role: Role = (request) => {
    const authorization = request.headers.get("authorization")
    if (authorization !== null && isAllowed(authorization)) return null
    return new Response(null, { status: 401, headers: { "www-authenticate": challenge } })
  }
  upstream.roles.push(role)
}
