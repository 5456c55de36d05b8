import { RegistryError } from "../oci/error.ts"

/** Every source's bytes differ from the digest. Answered with 502, which clients do not retry blindly. */
export class IntegrityError extends RegistryError {
  constructor(message: string) {
    super("DIGEST_INVALID", message, { status: 502, detail: "upstream_integrity" })
  }
}
