import { readFileSync, renameSync, writeFileSync } from "node:fs"
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
  /** Likewise for other names, in `<path>.crt` and `<path>.key`; what is there is replaced. */
  issueAt(path: string, names: readonly string[]): Promise<Pair>
}

const CURVE = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
const NAMES = "subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1"

/** A certificate authority of the test's own; needs openssl. */
export async function createAuthority(name = "Test CA", dir = tempDir()): Promise<Authority> {
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
  const sign = async (subject: string, pair: Pair, alternatives: string, days: number) => {
    issued += 1
    const [csr, extensions] = [join(dir, `${issued}.csr`), join(dir, `${issued}.ext`)]
    writeFileSync(extensions, alternatives)
    const made = { crt: join(dir, `${issued}.crt`), key: join(dir, `${issued}.key`) }
    await output(["openssl", "req", ...CURVE, "-keyout", made.key, "-out", csr, "-subj", `/CN=${subject}`])
    const signer = ["-CA", path, "-CAkey", key, "-set_serial", String(issued), "-days", String(days)]
    await output(["openssl", "x509", "-req", "-in", csr, ...signer, "-extfile", extensions, "-out", made.crt])
    renameSync(made.key, pair.key)
    renameSync(made.crt, pair.crt)
    return pair
  }
  return {
    path,
    pem: readFileSync(path, "utf8"),
    issue: async (subject, days = 30) => {
      const file = (ending: string) => join(dir, `issued-${issued}.${ending}`)
      return await sign(subject, { crt: file("crt"), key: file("key") }, NAMES, days)
    },
    issueAt: async (at, names) => {
      const alternatives = names.map((one) => (/^[\d.]+$/.test(one) ? `IP:${one}` : `DNS:${one}`))
      return await sign("named", { crt: `${at}.crt`, key: `${at}.key` }, `subjectAltName=${alternatives.join(",")}`, 30)
    },
  }
}
