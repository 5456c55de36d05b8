import { beforeAll, describe, expect, test } from "bun:test"
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { dateProblem, parseCredentials } from "../../src/http/tls/credentials.ts"
import { type Authority, createAuthority, type Pair } from "../helpers/certificates.ts"
import { needs, output } from "../helpers/programs.ts"
import { tempDir } from "../helpers/temp-dir.ts"

const FILES = { crt: "/tls.crt", key: "/tls.key", clientCA: null }
const DAY_MS = 24 * 60 * 60 * 1000
const read = (path: string) => readFileSync(path, "utf8")

const required = needs("openssl")
describe.skipIf(required.isMissing)(`parseCredentials()${required.note}`, () => {
  let authority: Authority
  let pair: Pair
  let other: Pair

  beforeAll(async () => {
    authority = await createAuthority()
    ;[pair, other] = await Promise.all([authority.issue("server"), authority.issue("other")])
  })
  const parse = (crt: string, key: string) => () => parseCredentials(FILES, [crt, key])

  test("takes a chain that begins with the server's certificate, and text around it", () => {
    const { subject, notAfter } = parseCredentials(FILES, [
      `# ours\n${read(pair.crt)}\n${authority.pem}`,
      read(pair.key),
    ])

    expect(subject).toBe("CN=server")
    expect(Math.round((notAfter - Date.now()) / DAY_MS)).toBe(30)
  })

  test("refuses a key of another certificate, and a chain in the wrong order", () => {
    const message = "Cannot use /tls.key: it is not the key of the first certificate in /tls.crt"

    expect(parse(read(pair.crt), read(other.key))).toThrow(message)
    expect(parse(authority.pem + read(pair.crt), read(pair.key))).toThrow(message)
  })

  test("names the file that is no PEM, or is broken", () => {
    const [crt, key] = [read(pair.crt), read(pair.key)]

    expect(parse("", key)).toThrow("Cannot use /tls.crt: it holds no PEM certificate")
    expect(parse(key, key)).toThrow("Cannot use /tls.crt: it holds no PEM certificate")
    expect(parse(crt.slice(0, 300), key)).toThrow("Cannot use /tls.crt: it holds no PEM certificate")
    expect(parse(crt.replace(/M[A-Za-z]{3}/, "AAAA"), key)).toThrow("it holds a certificate that cannot be read")
    expect(parse(crt, "")).toThrow("Cannot use /tls.key: it holds no private key in PEM that can be read")
    expect(parse(crt, key.slice(0, 60))).toThrow("Cannot use /tls.key: it holds no private key")
  })

  test("says that a key is encrypted, and never what is in it", async () => {
    const file = join(tempDir(), "encrypted.key")
    await output(["openssl", "ec", "-in", pair.key, "-aes256", "-passout", "pass:canary", "-out", file])
    const secret = read(pair.key).split("\n")[1] ?? ""
    const failure = (() => {
      try {
        return parse(read(pair.crt), read(file))()
      } catch (error) {
        return String(error)
      }
    })()

    expect(failure).toBe("Error: Cannot use /tls.key: it is encrypted, and nobody can be asked for its password")
    expect(failure).not.toContain(secret)
  })

  test("refuses an authority for clients that is none", () => {
    const files = { ...FILES, clientCA: "/clients.crt" }
    const texts = [read(pair.crt), read(pair.key)]

    expect(() => parseCredentials(files, [...texts, ""])).toThrow(
      "Cannot use /clients.crt: it holds no PEM certificate",
    )
    expect(() => parseCredentials(files, texts)).toThrow("Cannot use /clients.crt: it holds no PEM certificate")
    expect(parseCredentials(files, [...texts, authority.pem]).clientCA).toBe(authority.pem)
  })

  test("tells the dates between which clients accept it", () => {
    const credentials = parseCredentials(FILES, [read(pair.crt), read(pair.key)])

    expect(dateProblem(credentials, Date.now())).toBeNull()
    expect(dateProblem(credentials, Date.now() + 31 * DAY_MS)).toMatch(/^the certificate has expired on 20/)
    expect(dateProblem(credentials, Date.now() - DAY_MS)).toMatch(/^the certificate is not valid before 20/)
  })

  test("takes RSA as well as elliptic curves", async () => {
    const dir = tempDir()
    const [crt, key] = [join(dir, "crt"), join(dir, "key")]
    const rsa = ["-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", crt, "-subj", "/CN=rsa/O=Test"]
    await output(["openssl", "req", "-x509", ...rsa])
    writeFileSync(join(dir, "pkcs1"), await output(["openssl", "rsa", "-in", key, "-traditional"]))

    expect(parse(read(crt), read(key))().subject).toBe("CN=rsa, O=Test")
    expect(parse(read(crt), read(join(dir, "pkcs1")))().subject).toBe("CN=rsa, O=Test")
  })
})
