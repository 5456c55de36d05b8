import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { output } from "./programs.ts"
import { tempDir } from "./temp-dir.ts"

export interface Pair {
  readonly crt: string
  readonly key: string
}

export interface Authority {
  /** Of the authority's own certificate. */
  readonly path: string
  readonly pem: string
  /** Files with a certificate for this machine's loopback names, and its key. */
  issue(name: string, days?: number): Promise<Pair>
}

const CURVE = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
const NAMES = "subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1"

/** A certificate authority of the test's own; needs openssl. */
export async function createAuthority(name = "Test CA"): Promise<Authority> {
  const dir = tempDir()
  const [path, key] = [join(dir, "ca.crt"), join(dir, "ca.key")]
  await output([
    "openssl",
    "req",
    "-x509",
    ...CURVE,
    "-keyout",
    key,
    "-out",
    path,
    "-days",
    "30",
    "-subj",
    `/CN=${name}`,
  ])
  let issued = 0
  return {
    path,
    pem: readFileSync(path, "utf8"),
    issue: async (subject, days = 30) => {
      issued += 1
      const file = (ending: string) => join(dir, `${issued}.${ending}`)
      const [csr, extensions, pair] = [file("csr"), file("ext"), { crt: file("crt"), key: file("key") }]
      writeFileSync(extensions, NAMES)
      await output(["openssl", "req", ...CURVE, "-keyout", pair.key, "-out", csr, "-subj", `/CN=${subject}`])
      const signer = ["-CA", path, "-CAkey", key, "-set_serial", String(issued), "-days", String(days)]
      await output(["openssl", "x509", "-req", "-in", csr, ...signer, "-extfile", extensions, "-out", pair.crt])
      return pair
    },
  }
}
