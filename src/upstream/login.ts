import type { Challenge } from "./challenge.ts"
import { basicAuthorization, type Credential } from "./keychain.ts"

/** How a registry wants to be asked, learnt from its first 401. */
export type Login =
  | { readonly kind: "basic" }
  | { readonly kind: "bearer"; readonly realm: URL; readonly service: string | null }

/** Null: a scheme that is not supported, or a realm that is no URL. */
export function readLogin({ scheme, parameters }: Challenge): Login | null {
  if (scheme === "basic") return { kind: "basic" }
  const realm = URL.parse(parameters["realm"] ?? "")
  if (scheme !== "bearer" || realm === null) return null
  return { kind: "bearer", realm, service: parameters["service"] ?? null }
}

/** What a credential gives without asking a token server. Null: nothing that this login takes. */
export function directAuthorization(login: Login, credential: Credential | null): string | null {
  if (login.kind === "bearer") return credential?.kind === "bearer" ? `Bearer ${credential.token}` : null
  return credential?.kind === "password" ? basicAuthorization(credential.username, credential.password) : null
}
