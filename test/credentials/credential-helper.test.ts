import { describe, expect, test } from "bun:test"
import { chmodSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { askHelper } from "../../src/credentials/credential-helper.ts"
import { systemClock } from "../../src/lib/clock.ts"
import { installHelper, printing } from "../helpers/credential-helper.ts"

async function ask(script: string, { helperMs = 10_000, env = {} } = {}) {
  const helper = installHelper("test", script)
  const PATH = `${helper.dir}:${process.env["PATH"]}`
  const found = await askHelper("test", "x.io", { clock: systemClock, helperMs, env: { PATH, ...env } }).catch(
    (error: Error) => error.message,
  )
  return { found, asked: helper.asked() }
}

describe("askHelper()", () => {
  test("asks for the server, and reads user and secret", async () => {
    expect(await ask(printing("me", "s3cret"))).toEqual({
      found: { kind: "password", username: "me", password: "s3cret" },
      asked: ["x.io"],
    })
  })

  test("the user <token> has an identity token", async () => {
    expect((await ask(printing("<token>", "s3cret"))).found).toEqual({ kind: "refresh", token: "s3cret" })
  })

  test("helpers get our environment", async () => {
    const script = 'printf \'{"Username":"%s","Secret":"x"}\' "$AWS_PROFILE"'

    expect((await ask(script, { env: { AWS_PROFILE: "prod" } })).found).toMatchObject({ username: "prod" })
  })

  test.each([
    ["says so, as Docker's do", "echo 'credentials not found in native keychain'; exit 1"],
    ["prints nothing in both", printing("", "")],
  ])("null where the helper has nothing: it %s", async (_, script) => {
    expect((await ask(script)).found).toBeNull()
  })

  test.each([
    ["fails", "echo s3cret; echo s3cret >&2; exit 3", "it ended with 3"],
    ["prints no JSON", "echo s3cret", 'it printed no JSON with "Username" and "Secret"'],
    ["prints a list", "echo '[\"s3cret\"]'", 'it printed no JSON with "Username" and "Secret"'],
    ["prints no secret", 'echo \'{"Username":"s3cret"}\'', 'it printed no "Username" and "Secret"'],
    ["is killed", "kill -9 $$", "it ended with 137"],
  ])("an error where the helper %s, without what it printed", async (_, script, reason) => {
    expect((await ask(script)).found).toBe(`Cannot use docker-credential-test: ${reason}`)
  })

  test("a helper that does not end is ended", async () => {
    const started = performance.now()

    expect((await ask("exec sleep 60", { helperMs: 300 })).found).toBe(
      "Cannot use docker-credential-test: it took more than 0.3 s",
    )
    expect(performance.now() - started).toBeLessThan(30_000)
  })

  test("a helper whose child keeps the pipe open is not waited for", async () => {
    expect((await ask(`sleep 60 & ${printing("me", "x")}`, { helperMs: 300 })).found).toContain("took more than 0.3 s")
  })

  test("a helper that prints without end is ended", async () => {
    const { found } = await ask("exec yes s3cret")

    expect(found).toMatch(/^Cannot use docker-credential-test: it ended with \d+$/)
  })

  test("a helper that is not there is named", async () => {
    const options = { clock: systemClock, helperMs: 1000, env: { PATH: "/nowhere" } }

    await expect(askHelper("none", "x.io", options)).rejects.toThrow(
      "Cannot run docker-credential-none: it is not on the PATH",
    )
  })

  test("a file that cannot be run is told", async () => {
    const { dir } = installHelper("other", "")
    const path = join(dir, "docker-credential-broken")
    writeFileSync(path, "not a program")
    chmodSync(path, 0o755)
    const options = { clock: systemClock, helperMs: 1000, env: { PATH: dir } }

    await expect(askHelper("broken", "x.io", options)).rejects.toThrow()
  })
})
