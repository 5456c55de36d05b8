import { describe, expect, test } from "bun:test"
import { LogBuffer } from "../../src/telemetry/log-buffer.ts"

/** A sink and a clock that the test moves. */
function buffer(capacity = 1000) {
  const written: string[] = []
  const taken: (() => void)[] = []
  const due: (() => void)[] = []
  const log = new LogBuffer({
    sink: (text, done) => {
      written.push(text)
      taken.push(done)
    },
    soon: (flush) => void due.push(flush),
    capacity,
    lostLine: (count) => `${count} lost\n`,
  })
  return { log, written, pass: () => due.splice(0).forEach((flush) => void flush()), take: () => taken.shift()?.() }
}

describe("LogBuffer", () => {
  test("writes the lines of one turn together, in their order", () => {
    const { log, pass, written } = buffer()
    for (const line of ["a\n", "b\n", "c\n"]) log.write(line)

    expect(written).toEqual([])
    pass()
    expect(written).toEqual(["a\nb\nc\n"])
  })

  test("waits for the sink, and then hands over at once what has gathered", () => {
    const { log, pass, take, written } = buffer()
    log.write("a\n")
    pass()
    for (const line of ["b\n", "c\n"]) log.write(line)
    pass()

    expect(written).toEqual(["a\n"])
    take()
    expect(written).toEqual(["a\n", "b\nc\n"])
  })

  test("a sink that is too slow costs lines, which are counted, and no memory", () => {
    const { log, pass, take, written } = buffer(10)
    log.write("a\n")
    pass()
    for (let line = 0; line < 100; line += 1) log.write("12345\n")
    take()

    expect(written).toEqual(["a\n", "12345\n99 lost\n"])
    take()
    log.write("b\n")
    pass()
    expect(written.at(-1)).toBe("b\n")
  })

  test("a line that is made later stands where it was written, and is made once, when it is handed over", () => {
    const { log, pass, written } = buffer()
    const made: string[] = []
    const later = (line: string) => () => {
      made.push(line)
      return line
    }
    for (const line of ["a\n", later("b\n"), "c\n", later("d\n")]) log.write(line)

    expect(made).toEqual([])
    pass()
    expect([written, made]).toEqual([["a\nb\nc\nd\n"], ["b\n", "d\n"]])
  })

  test.each([false, true])("lines that are made later are held to the capacity (sink is busy: %p)", (isBusy) => {
    const { log, pass, take, written } = buffer(100)
    if (isBusy) log.write("a\n")
    pass()
    let made = 0
    for (let line = 0; line < 5000; line += 1)
      log.write(() => {
        made += 1
        return "12345678\n"
      })

    expect(made).toBe(5000)
    pass()
    take()
    expect(written.at(-1)).toBe(`${"12345678\n".repeat(11)}4989 lost\n`)
  })

  test("flushed() resolves when everything is taken, and at once when there is nothing", async () => {
    const { log, pass, take } = buffer()
    await log.flushed()
    log.write("a\n")
    let isFlushed = false
    const flushed = log.flushed().then(() => {
      isFlushed = true
    })
    pass()
    log.write("b\n")
    await Promise.resolve()
    expect(isFlushed).toBe(false)
    take()
    take()
    await flushed
    expect(isFlushed).toBe(true)
  })

  test("take() gives what was not handed over, once", () => {
    const { log, pass, written } = buffer()
    log.write("a\n")
    log.write(() => "b\n")

    expect([log.take(), log.take()]).toEqual(["a\nb\n", ""])
    pass()
    expect(written).toEqual([])
  })
})
