import { describe, expect, test } from "bun:test"
import { findProxy, NO_PROXIES, proxyEnvironment, takeProxySettings } from "../../src/egress/proxy.ts"

const proxies = (noProxy = "") =>
  takeProxySettings({ HTTP_PROXY: "http://plain.test:3128", HTTPS_PROXY: "secure.test:3129", NO_PROXY: noProxy })
const find = (noProxy: string, url: string) => findProxy(proxies(noProxy), new URL(url))?.host ?? null

describe("takeProxySettings()", () => {
  test("takes the variables out of the environment, lower case before upper", () => {
    const env = { HTTP_PROXY: "http://upper.test", http_proxy: "http://lower.test", no_proxy: "a, b c", OTHER: "x" }
    const { http, https, direct } = takeProxySettings(env)

    expect([http?.host, https, direct]).toEqual(["lower.test", null, ["a", "b", "c"]])
    expect(env as object).toEqual({ OTHER: "x" })
  })

  test.each(["ftp://x.test", "http://", "socks5://x.test:1080"])(
    "%s is refused by the name of the variable",
    (value) => {
      expect(() => takeProxySettings({ HTTPS_PROXY: value })).toThrow(
        "Cannot use HTTPS_PROXY: it is no http or https URL",
      )
    },
  )

  test("a refusal does not repeat a password", () => {
    expect(() => takeProxySettings({ HTTP_PROXY: "ftp://me:s3cret@x.test" })).toThrow(/^(?!.*s3cret)/)
  })
})

test("proxyEnvironment() gives back what was taken", () => {
  const env = { HTTP_PROXY: "http://me:p@plain.test:3128/", NO_PROXY: "a,b" }

  expect(proxyEnvironment(takeProxySettings({ ...env }))).toMatchObject(env)
  expect(proxyEnvironment(NO_PROXIES)).toEqual({})
})

describe("findProxy()", () => {
  test.each([
    ["https://x.io/", "secure.test:3129"],
    ["http://x.io/", "plain.test:3128"],
  ])("%s goes through the proxy for its scheme", (url, host) => {
    expect(find("", url)).toBe(host)
  })

  test.each([
    "http://localhost:5000",
    "http://127.0.0.1:5000",
    "http://127.9.9.9",
    "https://[::1]:5000",
    "http://localhost.",
  ])("C8: %s is this machine, and asked directly", (url) => {
    expect(find("", url)).toBeNull()
  })

  test.each([
    ["*", "https://x.io", true],
    ["x.io", "https://x.io", true],
    ["x.io", "https://x.io:5000", true],
    ["x.io", "https://y.x.io", true],
    ["x.io", "https://notx.io", false],
    [".x.io", "https://y.x.io", true],
    [".x.io", "https://x.io", false],
    ["*.x.io", "https://y.x.io", true],
    ["*.x.io", "https://x.io", false],
    ["x.io:5000", "https://x.io:5000", true],
    ["x.io:5000", "https://x.io", false],
    ["X.IO", "https://x.io", true],
    ["10.0.0.0/8", "https://10.1.2.3", true],
    ["10.0.0.0/8", "https://11.1.2.3", false],
    ["10.0.0.0/8", "https://10.x.io", false],
    ["10.1.2.3", "https://10.1.2.3:443", true],
    ["fd00::/8", "https://[fd12::1]", true],
    ["fd12::1", "https://[fd12::1]", true],
    ["10.0.0.0/99", "https://10.1.2.3", false],
    ["a, b ,x.io", "https://x.io", true],
    ["", "https://x.io", false],
  ])("NO_PROXY=%j for %s: %s", (noProxy, url, isDirect) => {
    expect(find(noProxy, url) === null).toBe(isDirect)
  })
})
