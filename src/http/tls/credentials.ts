import { createSecureContext } from "node:tls"
import { certificatesIn, checkedAuthorities, readCertificate, readPrivateKey } from "../../lib/pem.ts"

/** Where the certificates of a port are. */
export interface TlsFiles {
  readonly crt: string
  readonly key: string
  /** Null: clients need no certificate. */
  readonly clientCA: string | null
}

/** What a port shows to clients, and asks of them. All PEM. */
export interface TlsCredentials {
  readonly cert: string
  readonly key: string
  readonly clientCA: string | null
  readonly subject: string
  /** In milliseconds since 1970. */
  readonly notBefore: number
  readonly notAfter: number
}

/** In the order in which `parseCredentials` wants their texts. */
export const credentialPaths = ({ crt, key, clientCA }: TlsFiles): readonly string[] =>
  clientCA === null ? [crt, key] : [crt, key, clientCA]

/** Throws an error that names the file, when a TLS server could not be made of these texts. Does not look at dates. */
export function parseCredentials(files: TlsFiles, texts: readonly string[]): TlsCredentials {
  const [cert = "", key = "", clientCA = null] = texts
  const leaf = readCertificate(files.crt, cert)
  for (const other of certificatesIn(cert)) readCertificate(files.crt, other)
  if (!leaf.checkPrivateKey(readPrivateKey(files.key, key)))
    throw new Error(
      `Cannot use ${files.key}: it is not the key of the first certificate in ${files.crt}; the server's own certificate has to come first, those that signed it after it`,
    )
  if (files.clientCA !== null) checkedAuthorities(files.clientCA, clientCA ?? "")
  try {
    createSecureContext({ cert, key, ...(clientCA === null ? {} : { ca: clientCA }) })
  } catch (cause) {
    throw new Error(`Cannot use ${files.crt} with ${files.key}`, { cause })
  }
  const { subject, validFrom, validTo } = leaf
  const dates = { notBefore: Date.parse(validFrom), notAfter: Date.parse(validTo) }
  return { cert, key, clientCA, subject: subject.replaceAll("\n", ", "), ...dates }
}

/** Null: clients accept these credentials today. */
export function dateProblem({ notBefore, notAfter }: TlsCredentials, now: number): string | null {
  if (now > notAfter) return `the certificate has expired on ${new Date(notAfter).toISOString()}`
  if (now < notBefore) return `the certificate is not valid before ${new Date(notBefore).toISOString()}`
  return null
}
