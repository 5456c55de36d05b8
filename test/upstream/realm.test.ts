import { describe, expect, test } from "bun:test"
import { isTrustedRealm } from "../../src/upstream/realm.ts"

describe("isTrustedRealm()", () => {
  test.each([
    // registry, realm, whether credentials may go there
    ["https://ghcr.io", "https://ghcr.io/token", true],
    ["https://ghcr.io:8443", "https://ghcr.io/token", true],
    ["https://registry-1.docker.io", "https://auth.docker.io/token", true],
    ["https://registry.gitlab.com", "https://gitlab.com/jwt/auth", true],
    ["https://a.b.example.com", "https://example.com/token", true],
    ["http://127.0.0.1:5000", "http://127.0.0.1:5001/token", true],
    ["http://registry:5000", "https://registry/token", true],
    ["http://[::1]:5000", "http://[::1]:6000/token", true],
    ["https://ghcr.io", "https://evil.example/token", false],
    ["https://ghcr.io", "https://ghcr.io.evil.example/token", false],
    ["https://ghcr.io", "https://evilghcr.io/token", false],
    ["https://ghcr.io", "https://io/token", false],
    ["https://example.com", "https://auth.example.com/token", true],
    ["https://registry.example.co.uk", "https://gitlab.example.co.uk/jwt/auth", true],
    ["https://one.co.uk", "https://two.co.uk/token", false],
    ["https://one.github.io", "https://two.github.io/token", false],
    ["https://registry-1.docker.io.evil.example", "https://auth.docker.io/token", false],
    ["https://evil.example", "https://auth.docker.io/token", false],
    ["https://ghcr.io", "http://ghcr.io/token", false],
    ["https://registry.example.com", "http://example.com/token", false],
    ["http://registry.example.com", "http://example.com/token", false],
    ["http://127.0.0.1:5000", "http://127.0.0.2/token", false],
    ["https://ghcr.io", "ftp://ghcr.io/token", false],
    ["https://ghcr.io", "file:///etc/passwd", false],
    ["https://ghcr.io", "https://ghcr.io@evil.example/token", false],
  ])("%s sending clients to %s: %p", (registry, realm, expected) => {
    expect(isTrustedRealm(new URL(registry), new URL(realm), [])).toBe(expected)
  })

  test.each([
    ["https://auth.example.net/token", true],
    ["https://auth.example.net:443/other", true],
    ["https://auth.example.net:8443/token", false],
    ["https://localhost:8443/token", true],
    ["https://x.auth.example.net/token", false],
    ["https://auth.example.net.evil.example/token", false],
    ["https://auth.example.net@evil.example/token", false],
    ["http://auth.example.net/token", false],
  ])(
    "C2: a registry whose operator has named auth.example.net and localhost:8443, sending clients to %s: %p",
    (realm, expected) => {
      const named = ["auth.example.net", "localhost:8443"]
      expect(isTrustedRealm(new URL("https://ghcr.io"), new URL(realm), named)).toBe(expected)
      expect(isTrustedRealm(new URL("http://ghcr.io"), new URL(realm), named)).toBe(expected)
    },
  )
})
