import { describe, expect, test } from "bun:test"
import { parseBasic } from "../../src/auth/basic.ts"

const encode = (text: string, encoding: BufferEncoding = "utf8") => Buffer.from(text, encoding).toString("base64")

function parsed(header: string | null): readonly [string, string] | null {
  const credentials = parseBasic(header)
  return credentials === null ? null : [credentials.user, Buffer.from(credentials.password).toString("latin1")]
}

describe("parseBasic()", () => {
  test.each([
    ["Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", ["Aladdin", "open sesame"]], // RFC 7617, 2
    ["basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", ["Aladdin", "open sesame"]], // RFC 9110, 11.1
    ["BASIC   QWxhZGRpbjpvcGVuIHNlc2FtZQ==", ["Aladdin", "open sesame"]],
    ["Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ", ["Aladdin", "open sesame"]],
    [`Basic ${encode("user:with:colons")}`, ["user", "with:colons"]],
    [`Basic ${encode("user:")}`, ["user", ""]],
    [`Basic ${encode(":password")}`, ["", "password"]],
    [`Basic ${encode("jürgen:p")}`, ["jürgen", "p"]],
    [`Basic ${encode("u:p\u00fc", "latin1")}`, ["u", "p\u00fc"]],
  ])("reads %p", (header, credentials) => {
    expect(parsed(header)).toEqual(credentials as [string, string])
  })

  test.each([
    [null],
    [""],
    ["Basic"],
    ["Basic "],
    ["Basic ="],
    ["Basic !!!!"],
    ["Basic QWxh ZGRp"],
    ["Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==, Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="],
    [`Basic ${encode("nocolon")}`],
    [`Basic ${encode("user\0:password")}`],
    [`Basic ${encode("user:pass\0word")}`],
    [`Basic ${encode("user\n:password")}`],
    ["Bearer QWxhZGRpbjpvcGVuIHNlc2FtZQ=="],
    ["Digest username=x"],
    ["QWxhZGRpbjpvcGVuIHNlc2FtZQ=="],
  ])("finds nothing in %p", (header) => {
    expect(parsed(header)).toBeNull()
  })
})
