import { expect, test } from "bun:test"
import { Histogram, Registry } from "prom-client"
import { BusyHistogram } from "../../src/telemetry/busy-histogram.ts"

const NAMES = ["route", "code"] as const
const BUCKETS = [0.001, 0.02, 0.5]
/** Without exemplars, which neither has. */
const values = async (registry: Registry): Promise<unknown> =>
  JSON.parse(
    JSON.stringify(await registry.getMetricsAsJSON(), (key, value) => (key === "exemplar" ? undefined : value)),
  )
const VALUES = [0, 0.0005, 0.001, 0.0011, 0.02, 0.3, 0.5, 0.6, 100]

test("shows what prom-client's own histogram shows of the same values, and goes on after somebody has looked", async () => {
  const [ours, theirs] = [new Registry(), new Registry()]
  const about = { name: "seconds", help: "Seconds", buckets: BUCKETS }
  const busy = new BusyHistogram({ ...about, labelNames: NAMES, registers: [ours] })
  const plain = new Histogram({ ...about, labelNames: NAMES, registers: [theirs] })
  const both = (labels: { route: string; code: number }, value: number) => {
    busy.add(labels, value)
    plain.observe(labels, value)
  }
  expect(await ours.metrics()).toBe(await theirs.metrics())
  for (const value of VALUES) both({ route: "blob", code: 200 }, value)
  both({ route: "blob", code: 404 }, 0.01)
  both({ route: "base", code: 200 }, 7)

  expect(await ours.metrics()).toBe(await theirs.metrics())
  expect(await values(ours)).toEqual(await values(theirs))
  both({ route: "base", code: 200 }, 0.1)
  expect(await ours.metrics()).toBe(await theirs.metrics())
})
