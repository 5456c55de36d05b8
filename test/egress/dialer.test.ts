import { describe, expect, test } from "bun:test"
import { Dialer } from "../../src/egress/dialer.ts"
import { createFakeClock } from "../helpers/fake-clock.ts"
import { never } from "../helpers/layers.ts"

/** A resolver that answers when the test says so. */
function createDialer() {
  const clock = createFakeClock()
  const asked: PromiseWithResolvers<readonly string[]>[] = []
  const probed: string[] = []
  const dialer = new Dialer({
    clock,
    connectMs: 5000,
    lookup: async () => {
      const answer = Promise.withResolvers<readonly string[]>()
      asked.push(answer)
      return await answer.promise
    },
    probe: async (address, port) => void probed.push(`${address} ${port}`),
  })
  return { dialer, clock, asked, probed }
}
const URL_OF = (text: string) => new URL(text)

describe("Dialer", () => {
  test("A9, A12: waits for the addresses of a name no longer than for a connection, and says what to look at", async () => {
    const { dialer, clock } = createDialer()
    const failure = dialer.resolve(URL_OF("https://silent.test/"), never).catch((error) => error)
    clock.advance(5000)

    expect(await failure).toMatchObject({ fault: "silent" })
    expect((await failure).message).toContain("silent.test cannot be reached: nobody told its address within 5 s")
  })

  test("asks no second time while the system still looks, even if those who wanted to know have left", async () => {
    const { dialer, clock, asked } = createDialer()
    const leaving = new AbortController()
    const left = dialer.resolve(URL_OF("https://slow.test/"), leaving.signal).catch((error) => error.name)
    const late = dialer.resolve(URL_OF("https://slow.test/"), never).catch((error) => error.fault)
    leaving.abort()
    clock.advance(5000)
    const outcomes = [await left, await late]
    const again = dialer.resolve(URL_OF("https://slow.test/"), never)
    asked[0]?.resolve(["192.0.2.1"])

    expect(outcomes).toEqual(["AbortError", "silent"])
    expect(await again).toEqual(["192.0.2.1"])
    expect(asked).toHaveLength(1)
  })

  test("tries an address anew for another scheme or port: what answers at one need not at the other", async () => {
    const { dialer, clock, probed } = createDialer()
    const dial = async (url: string) => {
      const dialling = dialer.dial(URL_OF(url), ["192.0.2.1"], never)
      clock.advance(0)
      await dialling
    }
    for (const url of ["https://both.test/", "http://both.test/", "https://both.test:8443/", "https://both.test/x"])
      await dial(url)
    dialer.forget(URL_OF("http://both.test/"))
    await dial("https://both.test/")

    expect(probed).toEqual(["192.0.2.1 443", "192.0.2.1 80", "192.0.2.1 8443"])
  })
})
