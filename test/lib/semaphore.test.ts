import { describe, expect, test } from "bun:test"
import { Semaphore } from "../../src/lib/semaphore.ts"

const never = new AbortController().signal

describe("Semaphore", () => {
  test("hands out its slots, then lets the others wait in the order of asking", async () => {
    const semaphore = new Semaphore(2)
    const order: number[] = []
    const release = await semaphore.acquire(never)
    await semaphore.acquire(never)
    const waiting = [1, 2, 3].map(async (number) => {
      const done = await semaphore.acquire(never)
      order.push(number)
      done()
    })

    expect(semaphore.waiting).toBe(3)
    release()
    await Promise.all(waiting)
    expect(order).toEqual([1, 2, 3])
    expect(semaphore.waiting).toBe(0)
  })

  test("one who gives up leaves the queue, and the slot goes to the next", async () => {
    const semaphore = new Semaphore(1)
    const release = await semaphore.acquire(never)
    const impatient = new AbortController()
    const first = semaphore.acquire(impatient.signal)
    const second = semaphore.acquire(never)
    impatient.abort(new Error("enough"))

    expect(first).rejects.toThrow("enough")
    expect(semaphore.waiting).toBe(1)
    release()
    ;(await second)()
    ;(await semaphore.acquire(never))()
  })

  test("giving a slot back twice does not make two of it", async () => {
    const semaphore = new Semaphore(1)
    const release = await semaphore.acquire(never)
    release()
    release()
    await semaphore.acquire(never)
    semaphore.acquire(never).catch(() => {})

    expect(semaphore.waiting).toBe(1)
  })

  test("nobody who has been aborted gets a slot", async () => {
    const semaphore = new Semaphore(1)

    expect(semaphore.acquire(AbortSignal.abort(new Error("gone")))).rejects.toThrow("gone")
    expect(await semaphore.acquire(never)).toBeFunction()
  })
})
