import { expect, test } from "bun:test"
import { Registry } from "prom-client"
import { BusyCounter } from "../../src/telemetry/busy-counter.ts"

const samples = async (registry: Registry) =>
  (await registry.metrics()).split("\n").filter((line) => line !== "" && !line.startsWith("#"))

test("counts by its labels, and goes on after somebody has looked", async () => {
  const registry = new Registry()
  const labelNames = ["route", "code"] as const
  const counter = new BusyCounter({ name: "answers", help: "Answers", labelNames, registers: [registry] })
  counter.inc({ route: "blob", code: 200 })
  counter.inc({ route: "blob", code: 200 }, 2)
  counter.inc({ route: "blob", code: 404 })
  counter.inc({ route: "base", code: "200" })

  const first = ['answers{route="blob",code="200"} 3', 'answers{route="blob",code="404"} 1']
  expect(await samples(registry)).toEqual([...first, 'answers{route="base",code="200"} 1'])
  counter.inc({ route: "base", code: 200 })
  expect(await samples(registry)).toEqual([...first, 'answers{route="base",code="200"} 2'])
  expect(await samples(registry)).toEqual([...first, 'answers{route="base",code="200"} 2'])
})

test("counts by one label, and has no series for what never happened", async () => {
  const registry = new Registry()
  const counter = new BusyCounter({ name: "bytes", help: "Bytes", labelNames: ["source"], registers: [registry] })
  expect(await samples(registry)).toEqual([])
  counter.inc({ source: "disk" }, 4096)

  expect(await samples(registry)).toEqual(['bytes{source="disk"} 4096'])
})
