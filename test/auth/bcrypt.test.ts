import { describe, expect, test } from "bun:test"
import { limitedVerify, verifyBcrypt } from "../../src/auth/bcrypt.ts"
import { needs, output } from "../helpers/programs.ts"
import { until } from "../helpers/until.ts"

const bytes = (text: string) => new TextEncoder().encode(text)

const required = needs("htpasswd")
describe.skipIf(required.isMissing)(`verifyBcrypt()${required.note}`, () => {
  test.each(["secret", 'with spaces: and "signs"', "ümläut", "x".repeat(72), "y".repeat(100)])(
    "agrees with htpasswd on %j",
    async (password) => {
      const hash = (await output(["htpasswd", "-nbBC", "4", "user", password])).trim().replace(/^user:/, "")

      expect(await verifyBcrypt(bytes(password), hash)).toBe(true)
      expect(await verifyBcrypt(bytes(`not ${password}`), hash)).toBe(false)
    },
  )
})

test("verifyBcrypt() takes nothing for no password, whatever the hash", async () => {
  const hash = "$2y$04$Wwr4qyocXfSgayKatnDxruZpfFIAB5y1zlx3u3FRKUkRKAnjMnj0q" // of nothing, by htpasswd

  expect(await verifyBcrypt(bytes(""), hash)).toBe(false)
})

describe("limitedVerify()", () => {
  test("E6 checks a few at a time, in the order of asking, and tells more than can wait to come back", async () => {
    const running: (() => void)[] = []
    let most = 0
    const verify = limitedVerify(
      async () => {
        const { promise, resolve } = Promise.withResolvers<void>()
        running.push(resolve)
        most = Math.max(most, running.length)
        await promise
        return true
      },
      { concurrency: 2, waiting: 3 },
    )
    const checks = Array.from({ length: 6 }, () => verify(bytes("x"), "").catch((error) => error.code))
    await until(() => running.length === 2)
    for (let done = 0; done < 5; done += 1) {
      await until(() => running.length > 0)
      running.shift()?.()
    }

    expect(await Promise.all(checks)).toEqual([true, true, true, true, true, "UNAVAILABLE"])
    expect(most).toBe(2)
  })

  test("goes on after a check that failed", async () => {
    let calls = 0
    const verify = limitedVerify(
      async () => {
        calls += 1
        if (calls === 1) throw new Error("broken")
        return true
      },
      { concurrency: 1, waiting: 1 },
    )

    await expect(verify(bytes("x"), "")).rejects.toThrow("broken")
    expect(await verify(bytes("x"), "")).toBe(true)
  })
})
