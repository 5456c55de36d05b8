import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto"

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g

/** One text for each certificate; all of it where there is none. */
export const certificatesIn = (text: string): readonly string[] => text.match(CERTIFICATE) ?? [text]

/** The first certificate of a file. Throws an error that names the file. */
export function readCertificate(file: string, text: string): X509Certificate {
  try {
    return new X509Certificate(text)
  } catch (cause) {
    const held = text.search(CERTIFICATE) === -1 ? "no PEM certificate" : "a certificate that cannot be read"
    throw new Error(`Cannot use ${file}: it holds ${held}`, { cause })
  }
}

/**
 * The same text, if every authority in it can be read: TLS would trust those before one that cannot, and none after it.
 * Throws an error that names the file.
 */
export function checkedAuthorities(file: string, text: string): string {
  for (const authority of certificatesIn(text)) readCertificate(file, authority)
  return text
}

/** The key of a file. Throws an error that names the file. */
export function readPrivateKey(file: string, text: string): KeyObject {
  try {
    return createPrivateKey(text)
  } catch (cause) {
    if (text.includes("ENCRYPTED"))
      throw new Error(`Cannot use ${file}: it is encrypted, and nobody can be asked for its password`, { cause })
    throw new Error(`Cannot use ${file}: it holds no private key in PEM that can be read`, { cause })
  }
}
