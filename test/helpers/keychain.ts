import type { Credential, Keychain } from "../../src/upstream/keychain.ts"

/** The same credential for everything. */
export const keychainOf = (credential: Credential | null): Keychain => ({
  find: async () => credential,
  forget: () => {},
})
