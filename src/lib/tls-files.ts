import { createPrivateKey, X509Certificate } from "node:crypto"
import { readFileSync } from "node:fs"
import { identifyFile } from "./file-identity.ts"

/** PEM files of one side of TLS; null where there is none. */
export interface TlsFiles {
  readonly ca: string | null
  readonly crt: string | null
  readonly key: string | null
}

export interface TlsMaterial {
  readonly ca: Buffer | null
  readonly crt: Buffer | null
  readonly key: Buffer | null
}

/** Changes when one of the files does; cheap, for looking at every use. */
export function identifyTls({ ca, crt, key }: TlsFiles): string {
  const texts = [ca, crt, key].map((path) => {
    const identity = path === null ? null : identifyFile(path)
    return `${identity?.text ?? "none"}${identity?.isYoung === true ? " young" : ""}`
  })
  return texts.join("\n")
}

/** Reads the files. Throws when one is missing or no PEM, and when key and certificate do not belong together. */
export function readTls({ ca, crt, key }: TlsFiles): TlsMaterial {
  const material = { ca: read(ca), crt: read(crt), key: read(key) }
  if (ca !== null && material.ca !== null) certificate(ca, material.ca)
  if (crt === null || key === null || material.crt === null || material.key === null) return material
  if (!certificate(crt, material.crt).checkPrivateKey(privateKey(key, material.key)))
    throw new Error(`The key in ${key} does not belong to the certificate in ${crt}; write both of them anew`)
  return material
}

function read(path: string | null): Buffer | null {
  if (path === null) return null
  try {
    return readFileSync(path)
  } catch (cause) {
    const isMissing = cause instanceof Error && "code" in cause && cause.code === "ENOENT"
    if (isMissing) throw new Error(`Cannot read ${path}: there is no such file`)
    throw new Error(`Cannot read ${path}`, { cause })
  }
}

function certificate(path: string, pem: Buffer): X509Certificate {
  try {
    return new X509Certificate(pem)
  } catch (cause) {
    throw new Error(`Cannot use ${path}: it holds no certificate in PEM form`, { cause })
  }
}

function privateKey(path: string, pem: Buffer) {
  try {
    return createPrivateKey(pem)
  } catch (cause) {
    throw new Error(`Cannot use ${path}: it holds no private key in PEM form`, { cause })
  }
}
