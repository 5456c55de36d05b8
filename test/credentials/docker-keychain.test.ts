import { describe, expect, test } from "bun:test"
import { parseDockerConfig } from "../../src/credentials/docker-config.ts"
import { DockerKeychain } from "../../src/credentials/docker-keychain.ts"
import { PasswordKeychain } from "../../src/credentials/password-keychain.ts"
import { createLogger } from "../../src/telemetry/log.ts"
import type { Credential } from "../../src/upstream/keychain.ts"
import { createFakeClock } from "../helpers/fake-clock.ts"
import { never } from "../helpers/layers.ts"

const secret = (password: string): Credential => ({ kind: "password", username: "me", password })
const APP = { host: "x.io", path: "team/app" }

function start(answers: (number: number) => Promise<Credential | null> = async (number) => secret(`s${number}`)) {
  const clock = createFakeClock()
  const asked: string[] = []
  const logs: string[] = []
  const log = createLogger({ format: "json", version: "", level: () => "info", write: (line) => void logs.push(line) })
  const keychain = new DockerKeychain({
    file: { current: async () => parseDockerConfig('{"credHelpers":{"x.io":"test","y.io":"test"}}') },
    ask: async (helper, server) => {
      asked.push(`${helper} ${server}`)
      return await answers(asked.length)
    },
    clock,
    log,
    knownMs: 60_000,
  })
  return { clock, asked, logs, keychain, find: async (repository = APP) => await keychain.find(repository, never) }
}

describe("DockerKeychain", () => {
  test("a helper's answer is used again for a while, for all repositories of the host", async () => {
    const { asked, clock, find } = start()

    expect([await find(), await find({ host: "x.io", path: "other" })]).toEqual([secret("s1"), secret("s1")])
    clock.advance(61_000)
    expect(await find()).toEqual(secret("s2"))
    expect(asked).toEqual(["test x.io", "test x.io"])
  })

  test("that it has nothing is remembered as well", async () => {
    const { asked, find } = start(async () => null)

    expect([await find(), await find()]).toEqual([null, null])
    expect(asked).toHaveLength(1)
  })

  test("one helper runs for all who wait, and each host has its own answer", async () => {
    const { asked, find } = start()
    const found = await Promise.all([...Array.from({ length: 50 }, () => find()), find({ host: "y.io", path: "a" })])

    expect(new Set(found.map((one) => JSON.stringify(one))).size).toBe(2)
    expect(asked.toSorted()).toEqual(["test x.io", "test y.io"])
  })

  test("D-22: what a registry has refused is asked for again, what came after it is not", async () => {
    const { asked, find, keychain } = start()
    await find()
    keychain.forget(secret("s1"))
    expect(await find()).toEqual(secret("s2"))
    keychain.forget(secret("s1"))
    expect(await find()).toEqual(secret("s2"))
    expect(asked).toHaveLength(2)
  })

  test("CVE-2021-41092: a helper that fails gives no credential, is logged, and is not run for every request", async () => {
    const { asked, clock, find, logs } = start(async (number) => {
      if (number === 1) throw new Error("Cannot use docker-credential-test: it ended with 1")
      return secret("late")
    })

    expect([await find(), await find()]).toEqual([null, null])
    expect(asked).toHaveLength(1)
    expect(logs.join()).toContain("it ended with 1")
    clock.advance(5001)
    expect(await find()).toEqual(secret("late"))
  })
})

describe("PasswordKeychain", () => {
  const docker = (): PasswordKeychain => {
    const logins = new Map([["x.io", { username: "own", password: { current: async () => "from file" } }]])
    return new PasswordKeychain(logins, start().keychain)
  }

  test("wins for its hosts, and leaves the others alone", async () => {
    expect(await docker().find(APP, never)).toEqual({ kind: "password", username: "own", password: "from file" })
    expect(await docker().find({ host: "y.io", path: "a" }, never)).toEqual(secret("s1"))
    expect(await docker().find({ host: "z.io", path: "a" }, never)).toBeNull()
  })
})
