import { createPrivateKey, sign, X509Certificate } from "node:crypto"
import { readFileSync } from "node:fs"
import type { Pair } from "./certificates.ts"

export interface JwtServer {
  readonly realm: string
  /** The user of every request for a token; null: nobody. */
  readonly asked: (string | null)[]
  stop(): void
}

export interface JwtServerOptions {
  readonly pair: Pair
  readonly issuer: string
  readonly service: string
  /** user:password of who gets what is asked for; others get a token for nothing. */
  readonly credentials: string
  readonly lifetimeSeconds: number
}

/** Gives tokens as the distribution project's token specification has them, signed so that its registry believes them. */
export function startJwtServer({ pair, issuer, service, credentials, lifetimeSeconds }: JwtServerOptions): JwtServer {
  const key = createPrivateKey(readFileSync(pair.key))
  const x5c = [new X509Certificate(readFileSync(pair.crt)).raw.toString("base64")]
  const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url")
  const asked: (string | null)[] = []
  const token = (subject: string, access: unknown) => {
    const now = Math.floor(Date.now() / 1000)
    const claims = {
      iss: issuer,
      sub: subject,
      aud: service,
      exp: now + lifetimeSeconds,
      nbf: now - 5,
      iat: now,
      jti: crypto.randomUUID(),
    }
    const signed = `${encode({ typ: "JWT", alg: "ES256", x5c })}.${encode({ ...claims, access })}`
    return `${signed}.${sign("sha256", Buffer.from(signed), { key, dsaEncoding: "ieee-p1363" }).toString("base64url")}`
  }
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: (request) => {
      const basic = request.headers.get("authorization")?.replace("Basic ", "") ?? null
      const login = basic === null ? null : Buffer.from(basic, "base64").toString()
      asked.push(login?.split(":")[0] ?? null)
      const scopes = new URL(request.url).searchParams.getAll("scope")
      const access = scopes.map((scope) => {
        const [type, name, actions = ""] = scope.split(":")
        return { type, name, actions: actions.split(",") }
      })
      return Response.json({
        token: token(login ?? "", login === credentials ? access : []),
        expires_in: lifetimeSeconds,
      })
    },
  })
  return { realm: `http://127.0.0.1:${server.port}/token`, asked, stop: () => void server.stop(true) }
}
