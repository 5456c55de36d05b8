import type { Repository } from "../oci/reference.ts"

/**
 * What proves to a registry who we are: a user and a password; a token that gets tokens from the registry's token
 * server ("identity token"); or a token for the registry itself.
 */
export type Credential =
  | { readonly kind: "password"; readonly username: string; readonly password: string }
  | { readonly kind: "refresh"; readonly token: string }
  | { readonly kind: "bearer"; readonly token: string }

/** Finds credentials. Safe for concurrent use. */
export interface Keychain {
  /** The credential for a repository; null: go without. Never rejects but with the signal's reason. */
  find(repository: Repository, signal: AbortSignal): Promise<Credential | null>
  /** A registry did not take this: where it is only remembered, it has to be looked up again. */
  forget(refused: Credential): void
}

export const basicAuthorization = (username: string, password: string): string =>
  `Basic ${Buffer.from(`${username}:${password}`, "utf8").toString("base64")}`

/** Stands for a credential in cache keys without being one. */
export const credentialFingerprint = (credential: Credential | null): string =>
  credential === null
    ? "anonymous"
    : new Bun.CryptoHasher("sha256").update(JSON.stringify(Object.entries(credential))).digest("hex")
