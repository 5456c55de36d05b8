import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { output } from "./programs.ts"
import { tempDir } from "./temp-dir.ts"

export interface Certificate {
  /** PEM files. The certificate is its own authority. */
  readonly key: string
  readonly cert: string
}

const DAY_MS = 24 * 60 * 60 * 1000

/** A self-signed certificate for a name like "IP:127.0.0.1" or "DNS:a.test", by openssl, which must be there. */
export async function makeCertificate(name: string, { isExpired = false } = {}): Promise<Certificate> {
  const dir = tempDir()
  const [key, cert, request, config] = ["key.pem", "cert.pem", "request.pem", "ca.cnf"].map((file) =>
    join(dir, file),
  ) as [string, string, string, string]
  const start = isExpired ? Date.now() - 2 * DAY_MS : Date.now() - DAY_MS
  writeFileSync(join(dir, "index.txt"), "")
  writeFileSync(join(dir, "serial"), "01")
  writeFileSync(
    config,
    `[ca]\ndefault_ca = own\n[own]\ndatabase = ${dir}/index.txt\nserial = ${dir}/serial\nnew_certs_dir = ${dir}
default_md = sha256\npolicy = any\n[any]\ncommonName = supplied
[names]\nsubjectAltName = ${name}\nbasicConstraints = critical,CA:TRUE\n`,
  )
  const subject = `/CN=${name.slice(name.indexOf(":") + 1)}`
  await output(["openssl", "req", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", request, "-subj", subject])
  const times = ["-startdate", utcTime(start), "-enddate", utcTime(isExpired ? start + DAY_MS : start + 2 * DAY_MS)]
  const sign = ["openssl", "ca", "-batch", "-notext", "-selfsign", "-config", config, "-extensions", "names"]
  await output([...sign, ...times, "-keyfile", key, "-in", request, "-out", cert])
  return { key, cert }
}

/** As in 20260102030405Z. */
const utcTime = (time: number): string => `${new Date(time).toISOString().slice(0, 19).replace(/[-:T]/g, "")}Z`
