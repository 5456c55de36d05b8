export interface SpecWeb {
  /** With {id}. */
  readonly url: string
  /** Paths that were asked for, in order. */
  readonly seen: string[]
  /** What is said to the next questions. */
  answer(make: (name: string, request: Request) => Response | Promise<Response>): void
  stop(): void
}

/** A web server of specs in miniature; it knows none until it is told what to answer. */
export function startSpecWeb(): SpecWeb {
  const seen: string[] = []
  let make: (name: string, request: Request) => Response | Promise<Response> = () => new Response("", { status: 404 })
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: async (request) => {
      const path = new URL(request.url).pathname
      seen.push(path)
      return await make(decodeURIComponent(path.slice("/specs/".length)), request)
    },
  })
  return {
    url: `http://127.0.0.1:${server.port}/specs/{id}`,
    seen,
    answer: (next) => {
      make = next
    },
    stop: () => void server.stop(true),
  }
}
