import { beforeAll, describe, expect, test } from "bun:test"
import { type VerifyPassword, verifyBcrypt } from "../../src/auth/bcrypt.ts"
import type { Users } from "../../src/auth/htpasswd.ts"
import { type AuthLimits, HtpasswdAuthenticator } from "../../src/auth/htpasswd-authenticator.ts"
import { RegistryError } from "../../src/oci/error.ts"
import { createLogger } from "../../src/telemetry/log.ts"
import { createMetrics } from "../../src/telemetry/metrics.ts"
import { createFakeClock } from "../helpers/fake-clock.ts"
import { silentLogger } from "../helpers/silent-logger.ts"
import { until } from "../helpers/until.ts"

const LIMITS: AuthLimits = {
  checks: { concurrency: 2, waiting: 100 },
  failuresPerUser: 3,
  failuresPerClient: 6,
  windowMs: 60_000,
  clients: 1000,
  logins: 1000,
}
const ADDRESS = "192.0.2.1"

const hashOf = async (password: string, cost = 4) => await Bun.password.hash(password, { algorithm: "bcrypt", cost })
const basic = (user: string, password: string) => `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}`

describe("HtpasswdAuthenticator", () => {
  let users: Users

  beforeAll(async () => {
    users = new Map([
      ["ann", await hashOf("ann's")],
      ["bob", await hashOf("bob's")],
      ["cat", await hashOf("cat's")],
    ])
  })

  function create(limits: Partial<AuthLimits> = {}) {
    const lines: string[] = []
    const checked: string[] = []
    const clock = createFakeClock()
    const state = { users }
    const metrics = createMetrics()
    const authenticator = new HtpasswdAuthenticator({
      users: async () => state.users,
      verify: async (password, hash) => {
        checked.push(hash)
        return await verifyBcrypt(password, hash)
      },
      limits: { ...LIMITS, ...limits },
      clock,
      log: createLogger({
        format: "json",
        version: "test",
        level: () => "debug",
        write: (line) => void lines.push(line),
      }),
      metrics,
    })
    /** The user's name, or the code of the refusal. */
    const login = async (user: string, password: string, address: string | null = ADDRESS) =>
      await authenticator
        .authenticate(basic(user, password), address)
        .catch((error) => (error instanceof RegistryError ? error.code : String(error)))
    const fail = async (user: string, times: number, address = ADDRESS) => {
      for (let time = 0; time < times; time += 1) await login(user, `wrong ${time}`, address)
    }
    return { authenticator, login, fail, checked, clock, state, lines, metrics }
  }

  test("tells who sends a right password", async () => {
    const { login } = create()

    expect([await login("ann", "ann's"), await login("bob", "bob's")]).toEqual(["ann", "bob"])
  })

  test.each([
    ["ann", "wrong"],
    ["ann", ""],
    ["ann", "bob's"],
    ["an", "ann's"],
    ["annn", "ann's"],
    ["ANN", "ann's"],
    ["ann ", "ann's"],
    ["", "ann's"],
    ["nobody", "ann's"],
    ["__proto__", "ann's"],
    ["robot$ann", "ann's"],
  ])("refuses %j with %j", async (user, password) => {
    expect(await create().login(user, password)).toBe("UNAUTHORIZED")
  })

  test("asks for a password where none is sent, and counts no failure", async () => {
    const { authenticator, login } = create()
    const nobody = `Basic ${btoa(":")}` // as skopeo sends it without a login
    for (const header of [
      nobody,
      "",
      "Bearer abc",
      "Basic ???",
      ...Array<string>(20).fill(nobody),
      ...Array<null>(20).fill(null),
    ])
      await expect(authenticator.authenticate(header, ADDRESS)).rejects.toMatchObject({ code: "UNAUTHORIZED" })

    expect(await login("ann", "ann's")).toBe("ann")
  })

  test("E6 checks a name that nobody has against somebody's hash, the same one every time, and lets nobody in by it", async () => {
    const { checked, login } = create({ failuresPerUser: 100, failuresPerClient: 100 })
    const names = Array.from({ length: 30 }, (_, index) => `nobody${index}`)
    for (const name of names) await login(name, "x")
    const first = checked.splice(0)
    for (const name of names) await login(name, "y")
    const answers = await Promise.all(["ann's", "bob's", "cat's"].map((password) => login("nobody0", password)))

    expect(checked.slice(0, 30)).toEqual(first)
    expect(new Set(first)).toEqual(new Set(users.values()))
    expect(answers).toEqual(["UNAUTHORIZED", "UNAUTHORIZED", "UNAUTHORIZED"])
  })

  test("checks a right password once, and a wrong one every time", async () => {
    const { checked, login } = create()
    for (let time = 0; time < 5; time += 1) await login("ann", "ann's")
    const right = checked.splice(0).length
    for (let time = 0; time < 2; time += 1) await login("ann", "wrong")

    expect([right, checked.length]).toEqual([1, 2])
  })

  test("checks the same password once for all who send it at the same time", async () => {
    const { checked, login } = create()
    const answers = await Promise.all(Array.from({ length: 50 }, () => login("ann", "ann's")))

    expect(new Set(answers)).toEqual(new Set(["ann"]))
    expect(checked).toHaveLength(1)
  })

  test("remembers a bounded number of logins", async () => {
    const { checked, login } = create({ logins: 1, clients: 1 })
    for (const [user, password] of [
      ["ann", "ann's"],
      ["bob", "bob's"],
      ["ann", "ann's"],
    ] as const)
      await login(user, password)

    expect(checked).toHaveLength(3)
  })

  test("knows a user no more who is gone from the file, while somebody guesses beside them", async () => {
    const { fail, login, state } = create()
    await login("ann", "ann's")
    await fail("ann", 3)
    state.users = new Map([["ann", await hashOf("new")]])

    expect([await login("ann", "ann's"), await login("ann", "new")]).toEqual(["TOOMANYREQUESTS", "TOOMANYREQUESTS"])
  })

  test("knows a user no more who is gone from the file, and asks for the new password after a change", async () => {
    const { login, state } = create()
    const before = [await login("ann", "ann's"), await login("bob", "bob's")]
    state.users = new Map([["ann", await hashOf("new")]])
    const after = [await login("ann", "ann's"), await login("bob", "bob's"), await login("ann", "new")]

    expect(before).toEqual(["ann", "bob"])
    expect(after).toEqual(["UNAUTHORIZED", "UNAUTHORIZED", "ann"])
  })

  test("E6 tries nothing more after some failures for a user, until the window ends", async () => {
    const { checked, clock, fail, login, authenticator } = create()
    await fail("ann", 3)
    checked.length = 0
    clock.advance(10_000)
    const answer = await authenticator.authenticate(basic("ann", "ann's"), ADDRESS).catch((error) => error)
    clock.advance(50_000)

    expect([answer.code, answer.status, answer.retryAfterSeconds]).toEqual(["TOOMANYREQUESTS", 429, 50])
    expect(checked).toEqual([])
    expect(await login("ann", "ann's")).toBe("ann")
  })

  test("E6 lets those who have logged in from there before go on, whatever others guess from behind the same address", async () => {
    const { checked, fail, login } = create()
    const before = await login("ann", "ann's")
    await fail("ann", 5)
    await fail("bob", 5)
    checked.length = 0
    const answers = [await login("ann", "ann's"), await login("ann", "guess"), await login("bob", "bob's")]

    expect(before).toBe("ann")
    expect(answers).toEqual(["ann", "TOOMANYREQUESTS", "TOOMANYREQUESTS"])
    expect(checked).toEqual([])
  })

  test("E6 tells nobody at no cost whether a guess is what somebody has logged in with from elsewhere", async () => {
    const { fail, login } = create()
    await login("ann", "ann's")
    await fail("ann", 3, "192.0.2.2")

    expect(await login("ann", "ann's", "192.0.2.2")).toBe("TOOMANYREQUESTS")
    expect(await login("ann", "ann's")).toBe("ann")
  })

  test("E6 checks no password again that was right at one address when it comes from another", async () => {
    const { checked, login } = create()
    await login("ann", "ann's")
    for (let node = 0; node < 20; node += 1) await login("ann", "ann's", `192.0.3.${node}`)

    expect(checked).toHaveLength(1)
  })

  test("limits those who fail, not others: neither other addresses, nor other users of the same address", async () => {
    const { fail, login } = create()
    await fail("ann", 5)

    expect(await login("ann", "ann's")).toBe("TOOMANYREQUESTS")
    expect(await login("ann", "ann's", "192.0.2.2")).toBe("ann")
    expect(await login("bob", "bob's")).toBe("bob")
  })

  test("limits an address that tries one name after the other, but not those who are known there", async () => {
    const { fail, login } = create()
    const before = await login("bob", "bob's")
    for (let name = 0; name < 6; name += 1) await fail(`nobody${name}`, 1)

    expect(before).toBe("bob")
    expect(await login("nobody6", "x")).toBe("TOOMANYREQUESTS")
    expect(await login("ann", "ann's")).toBe("TOOMANYREQUESTS")
    expect(await login("bob", "bob's")).toBe("bob")
    expect(await login("bob", "guess")).toBe("TOOMANYREQUESTS")
    expect(await login("ann", "ann's", "192.0.2.2")).toBe("ann")
  })

  test("takes an IPv6 network of 64 bits for one client", async () => {
    const { fail, login } = create()
    for (let host = 1; host <= 6; host += 1) await fail(`nobody${host}`, 1, `2001:db8::${host}`)

    expect(await login("ann", "ann's", "2001:db8::ffff")).toBe("TOOMANYREQUESTS")
    expect(await login("ann", "ann's", "2001:db8:0:1::1")).toBe("ann")
  })

  test("E6 is as strict with many guesses at once as with one after the other", async () => {
    const { checked, login } = create({ failuresPerClient: 1000 })
    const answers = await Promise.all(Array.from({ length: 200 }, (_, index) => login("ann", `guess ${index}`)))

    expect(checked).toHaveLength(3)
    expect(answers.filter((answer) => answer === "TOOMANYREQUESTS")).toHaveLength(197)
  })

  test("forgets no failure for a right password in between", async () => {
    const { fail, login } = create({ failuresPerUser: 100 })
    for (let round = 0; round < 6; round += 1) {
      await fail("ann", 1)
      await login("bob", "bob's")
    }

    expect(await login("cat", "cat's")).toBe("TOOMANYREQUESTS")
  })

  test("says nothing of passwords, and of names only those that exist", async () => {
    const { lines, login, metrics } = create()
    await login("ann", "canary-password")
    await login("canary-name", "canary-password")
    await login("ann", "ann's")
    const text = lines.join("") + (await metrics.registry.metrics())

    expect(lines.map((line) => JSON.parse(line))).toEqual([
      expect.objectContaining({ message: "login refused", client: ADDRESS, user: "ann" }),
      expect.not.objectContaining({ user: expect.anything() }),
    ])
    expect(text).not.toContain("canary")
    expect(text).toContain('auth_requests_total{outcome="accepted"} 1')
    expect(text).toContain('auth_requests_total{outcome="refused"} 2')
  })

  test("tells to come back when too many wait to be checked, and counts no failure", async () => {
    const { login } = create({ checks: { concurrency: 1, waiting: 1 }, failuresPerUser: 1, failuresPerClient: 1000 })
    const addresses = Array.from({ length: 10 }, (_, index) => `192.0.2.${index}`)
    const answers = await Promise.all(addresses.map((address) => login("ann", "ann's", address)))

    expect(answers.filter((answer) => answer === "ann").length).toBe(2)
    expect(answers.filter((answer) => answer === "UNAVAILABLE").length).toBe(8)
    expect(await login("bob", "bob's", "192.0.2.9")).toBe("bob")
  })

  test("E6 lets those pass at once who are known, while as many guesses are checked as can be", async () => {
    const running: (() => void)[] = []
    const clock = createFakeClock()
    const verify: VerifyPassword = async (password) => {
      if (Buffer.from(password).toString() === "ann's") return true
      await new Promise<void>((resolve) => running.push(resolve))
      return false
    }
    const options = { users: async () => users, verify, limits: LIMITS, clock, log: silentLogger }
    const authenticator = new HtpasswdAuthenticator({ ...options, metrics: createMetrics() })
    const login = async (password: string, address: string) =>
      await authenticator.authenticate(basic("ann", password), address).catch((error) => error.code)
    const known = await login("ann's", ADDRESS)
    const guesses = Array.from({ length: 1000 }, (_, index) =>
      login(`guess ${index}`, `198.51.${index >> 8}.${index & 255}`),
    )
    await until(() => running.length === LIMITS.checks.concurrency)
    const meanwhile = await login("ann's", ADDRESS)
    const most = running.length
    let outcomes: readonly string[] = []
    void Promise.all(guesses).then((all) => {
      outcomes = all
    })
    await until(() => {
      running.shift()?.()
      return outcomes.length > 0
    })

    expect([known, meanwhile]).toEqual(["ann", "ann"])
    expect(most).toBe(LIMITS.checks.concurrency)
    expect(outcomes.filter((outcome) => outcome === "UNAUTHORIZED")).toHaveLength(
      LIMITS.checks.concurrency + LIMITS.checks.waiting,
    )
    expect(outcomes.filter((outcome) => outcome === "UNAVAILABLE").length).toBeGreaterThan(800)
  })
})
