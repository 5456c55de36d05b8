import { describe, expect, test } from "bun:test"
import { redactText, redactUrl } from "../../src/lib/redact.ts"

describe("redactUrl()", () => {
  test.each([
    ["https://me:hunter2@x.io:8443/a/b?token=hunter2&x#hunter2", "https://x.io:8443/a/b?<redacted>"],
    ["https://x.io/a", "https://x.io/a"],
    ["http://x.io", "http://x.io/"],
    ["hunter2 is no URL", "<invalid URL>"],
  ])("%s is shown as %s", (url, expected) => {
    expect(redactUrl(url)).toBe(expected)
    if (URL.canParse(url)) expect(redactUrl(new URL(url))).toBe(expected)
  })
})

describe("redactText()", () => {
  test.each([
    [
      "got https://me:hunter2@x.io/a and http://hunter2@y.io",
      "got https://<redacted>@x.io/a and http://<redacted>@y.io",
    ],
    ["//me:hunter2@@x.io", "//<redacted>@x.io"],
    ["https://x.io/a@b me@x.io", "https://x.io/a@b me@x.io"],
  ])("%s is shown as %s", (text, expected) => {
    expect(redactText(text)).toBe(expected)
  })
})
