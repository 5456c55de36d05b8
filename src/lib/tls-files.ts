import { readFileSync } from "node:fs"
import { identifyFile } from "./file-identity.ts"
import { checkedAuthorities, readCertificate, readPrivateKey } from "./pem.ts"

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
  const authorities = ca === null ? null : Buffer.from(readAuthorities(ca))
  if (crt === null || key === null) return { ca: authorities, crt: null, key: null }
  const [cert, secret] = [readText(crt), readText(key)]
  if (!readCertificate(crt, cert).checkPrivateKey(readPrivateKey(key, secret)))
    throw new Error(`The key in ${key} does not belong to the certificate in ${crt}; write both of them anew`)
  return { ca: authorities, crt: Buffer.from(cert), key: Buffer.from(secret) }
}

/** What a file of authorities holds. Throws when it is missing or no PEM. */
export const readAuthorities = (path: string): string => checkedAuthorities(path, readText(path))

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8")
  } catch (cause) {
    const isMissing = cause instanceof Error && "code" in cause && cause.code === "ENOENT"
    if (isMissing) throw new Error(`Cannot read ${path}: there is no such file`)
    throw new Error(`Cannot read ${path}`, { cause })
  }
}
