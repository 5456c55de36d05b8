import { describe, expect, test } from "bun:test"
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { describeMetrics, generateMetricsPage } from "../../docs/generate-metrics.ts"
import { ROOT, readPage } from "../helpers/markdown.ts"
import { findProgram, needs, output } from "../helpers/programs.ts"
import { tempDir } from "../helpers/temp-dir.ts"

const ALERTS = join(ROOT, "deploy/prometheus/alerts.yaml")
const DASHBOARD = join(ROOT, "deploy/grafana/registry-facade.json")

interface Target {
  readonly expr: string
}
const dashboard = JSON.parse(readFileSync(DASHBOARD, "utf8")) as {
  readonly panels: readonly { readonly title: string; readonly targets?: readonly Target[] }[]
}
const expressions = dashboard.panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr))

/** What Prometheus makes of a metric: a histogram has three kinds of series. */
const series = new Set([
  "up", // Prometheus' own
  ...describeMetrics().flatMap(({ name, type }) =>
    type === "histogram" ? ["bucket", "sum", "count"].map((suffix) => `${name}_${suffix}`) : [name],
  ),
])
const namesIn = (text: string): readonly string[] => [
  ...new Set(text.match(/\b(?:up|(?:gitpod_)?registry_facade_\w+|process_\w+|go_\w+|grpc_\w+)(?=[{[ ])/g)),
]

describe("docs/metrics.md", () => {
  test("is what the program counts; write it again with: bun docs/generate-metrics.ts", () => {
    const page = readPage("docs/metrics.md")
    expect(page).toBe(generateMetricsPage(page))
  })

  test("has a description of every metric", () => {
    expect(describeMetrics().filter(({ help }) => help.length < 10 || help.endsWith("."))).toEqual([])
  })
})

describe("deploy/", () => {
  test("every metric of the alerts exists", () => {
    const names = namesIn(readFileSync(ALERTS, "utf8").replace(/^ *(?:#|summary|description).*$/gm, ""))

    expect(names.length).toBeGreaterThan(8)
    expect(names.filter((name) => !series.has(name))).toEqual([])
  })

  test("every metric of the dashboard exists", () => {
    expect(expressions.length).toBeGreaterThan(20)
    for (const expression of expressions) expect(namesIn(expression)).not.toEqual([])
    expect(expressions.flatMap(namesIn).filter((name) => !series.has(name))).toEqual([])
  })

  const promtool = needs("promtool")
  describe.skipIf(promtool.isMissing)(`for Prometheus${promtool.note}`, () => {
    const check = async (...args: readonly string[]) => await output([findProgram("promtool") ?? "promtool", ...args])

    test("the alerts are valid", async () => {
      expect(await check("check", "rules", ALERTS)).toContain("SUCCESS")
    })

    test("the dashboard's expressions are valid", async () => {
      const rules = expressions.map((expr, index) => ({
        record: `panel:${index}`,
        expr: expr.replaceAll("$__rate_interval", "5m"),
      }))
      const file = join(tempDir(), "rules.json")
      writeFileSync(file, JSON.stringify({ groups: [{ name: "dashboard", rules }] }))

      expect(await check("check", "rules", file)).toContain(`${rules.length} rules found`)
    })

    test("the alerts fire when they should, and only then", async () => {
      const file = join(tempDir(), "test.json")
      writeFileSync(file, JSON.stringify(alertTests))
      expect(await check("test", "rules", file)).toContain("SUCCESS")
    })
  })
})

const job = 'job="registry-facade",instance="a"'
const firing = (alert: string, at: string, value: number) => ({
  expr: `count(ALERTS{alertname="${alert}",alertstate="firing"}) or vector(0)`,
  eval_time: at,
  exp_samples: [{ labels: "{}", value }],
})

/** promtool's format for tests of rules: what was scraped each minute, and what fires then. */
const alertTests = {
  rule_files: [ALERTS],
  evaluation_interval: "1m",
  tests: [
    {
      interval: "1m",
      input_series: [
        { series: `registry_facade_http_requests_total{${job},code="200"}`, values: "0+100x60" },
        { series: `registry_facade_http_requests_total{${job},code="503"}`, values: "0+1x30 30+50x30" },
        { series: `registry_facade_integrity_failures_total{${job},source="upstream"}`, values: "0x30 1x30" },
        { series: `registry_facade_breaker_open{${job},dependency="ghcr.io"}`, values: "0x30 1x30" },
        { series: `registry_facade_config_reloads_total{${job},result="success"}`, values: "0+1x60" },
        { series: `registry_facade_store_bypass_total{${job},reason="enospc"}`, values: "0x60" },
        { series: `up{${job}}`, values: "1x60" },
      ],
      promql_expr_test: [
        firing("RegistryFacadeErrors", "30m", 0),
        firing("RegistryFacadeErrors", "58m", 1),
        firing("RegistryFacadeIntegrityFailure", "30m", 0),
        firing("RegistryFacadeIntegrityFailure", "32m", 1),
        firing("RegistryFacadeDependencyDown", "33m", 0),
        firing("RegistryFacadeDependencyDown", "40m", 1),
        firing("RegistryFacadeReloadFailed", "58m", 0),
        firing("RegistryFacadeStoreBypassed", "58m", 0),
        firing("RegistryFacadeDown", "58m", 0),
      ],
    },
  ],
}
