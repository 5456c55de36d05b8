import { Semaphore } from "../lib/semaphore.ts"
import { RegistryError } from "../oci/error.ts"

/** Whether a password is the one of a bcrypt hash. */
export type VerifyPassword = (password: Uint8Array, hash: string) => Promise<boolean>

/** bcrypt reads no more of a password; Bun would hash a longer one before, which no other program does. */
const MAX_PASSWORD_BYTES = 72

export const verifyBcrypt: VerifyPassword = async (password, hash) =>
  await Bun.password.verify(password.subarray(0, MAX_PASSWORD_BYTES), hash, "bcrypt")

export interface CheckLimits {
  /** Each check takes a core, and one of the threads that files are read with. */
  readonly concurrency: number
  /** Checks that may wait for their turn. */
  readonly waiting: number
}

/** Lets a few passwords be checked at a time. Rejects with UNAVAILABLE when too many wait. */
export function limitedVerify(verify: VerifyPassword, { concurrency, waiting }: CheckLimits): VerifyPassword {
  const slots = new Semaphore(concurrency)
  const patient = new AbortController().signal
  return async (password, hash) => {
    if (slots.waiting >= waiting)
      throw new RegistryError("UNAVAILABLE", "Cannot check the password: too many wait to be checked, try again", {
        retryAfterSeconds: 1,
      })
    const release = await slots.acquire(patient)
    return await verify(password, hash).finally(release)
  }
}
