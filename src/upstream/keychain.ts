import type { Repository } from "../oci/reference.ts"

export interface Credential {
  readonly username: string
  readonly password: string
}

/** Finds the credential for a repository. Null: go without. */
export type Keychain = (repository: Repository, signal: AbortSignal) => Promise<Credential | null>

export const basicAuthorization = ({ username, password }: Credential): string =>
  `Basic ${Buffer.from(`${username}:${password}`, "utf8").toString("base64")}`

/** Stands for a credential in cache keys without being one. */
export const credentialFingerprint = (credential: Credential | null): string =>
  credential === null
    ? "anonymous"
    : new Bun.CryptoHasher("sha256").update(basicAuthorization(credential)).digest("hex")
