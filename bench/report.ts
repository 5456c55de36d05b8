import { figure, ratio, type Workload } from "./cached.ts"
import type { ContenderName } from "./contenders.ts"
import type { Measurements } from "./measure.ts"

export interface Row {
  readonly what: string
  readonly facade: string
  /** What it is compared with. */
  readonly others: string
  readonly ratio: string
  /** Empty: a figure without a target. */
  readonly target: string
  readonly isMet: boolean | null
}

const MIB = 1024 * 1024

const SUBJECT: Readonly<Record<Workload, string>> = {
  "small blobs": "4 KiB blobs",
  manifests: "composed manifests",
  "big blob": "256 MiB blob",
  "small files": "10 KiB files inside an image",
  "large files": "5 MiB files inside an image",
}

/** One row per figure, in the order of the targets. */
export function rows(measurements: Measurements): readonly Row[] {
  return [
    ...cachedRows(measurements),
    ...coldRows(measurements),
    ...scanRows(measurements),
    ...processRows(measurements),
  ]
}

function cachedRows({ cached }: Measurements): readonly Row[] {
  const rate = (workload: Workload, other: ContenderName, least: number | null): Row => {
    const [ours, theirs] = [
      figure(cached, workload, "facade", "requestsPerSecond"),
      figure(cached, workload, other, "requestsPerSecond"),
    ]
    const found = ratio(cached, workload, other, "requestsPerSecond")
    return row(`${SUBJECT[workload]}, cached, req/s`, whole(ours), `${other} ${whole(theirs)}`, atLeast(found, least))
  }
  const cost = (workload: Workload, other: ContenderName): Row => {
    const micro = (name: ContenderName) => (figure(cached, workload, name, "cpuSecondsPerRequest") * 1e6).toFixed(1)
    const found = 1 / ratio(cached, workload, other, "cpuSecondsPerRequest")
    const what = `${SUBJECT[workload]}, µs of CPU per request`
    return row(what, micro("facade"), `${other} ${micro(other)}`, atLeast(found, null))
  }
  const speed = (workload: Workload, other: ContenderName, least: number | null): Row => {
    const megabytes = (name: ContenderName) => whole(figure(cached, workload, name, "bytesPerSecond") / 1e6)
    const found = ratio(cached, workload, other, "bytesPerSecond")
    const what = `${SUBJECT[workload]}, cached, MB/s`
    return row(what, megabytes("facade"), `${other} ${megabytes(other)}`, atLeast(found, least))
  }
  const perGigabyte = (workload: Workload, other: ContenderName): Row => {
    const seconds = (name: ContenderName) => figure(cached, workload, name, "cpuSecondsPerGigabyte").toFixed(3)
    const found = 1 / ratio(cached, workload, other, "cpuSecondsPerGigabyte")
    const what = `${SUBJECT[workload]}, CPU seconds per GB`
    return row(what, seconds("facade"), `${other} ${seconds(other)}`, atLeast(found, null))
  }
  return [
    rate("small blobs", "nginx", 0.6),
    cost("small blobs", "nginx"),
    rate("small blobs", "docker-registry", 15),
    cost("small blobs", "docker-registry"),
    rate("manifests", "docker-registry", 15),
    cost("manifests", "docker-registry"),
    rate("manifests", "nginx", null),
    speed("big blob", "nginx", 0.85),
    perGigabyte("big blob", "nginx"),
    speed("big blob", "docker-registry", null),
    perGigabyte("big blob", "docker-registry"),
    rate("small files", "nginx", 0.8),
    cost("small files", "nginx"),
    speed("large files", "nginx", 0.85),
    perGigabyte("large files", "nginx"),
  ]
}

function coldRows({ coldFar, coldNear, herd, plan }: Measurements): readonly Row[] {
  const rate = Math.round(plan.upstreamBytesPerSecond / 1e6)
  const far = `upstream at ${rate} MB/s and ${plan.upstreamDelayMs} ms`
  const near = "upstream on this machine without limits"
  return [
    row(
      `256 MiB blob, cold, ${far}, s in all`,
      coldFar.facade.totalSeconds.toFixed(2),
      `direct ${coldFar.direct.totalSeconds.toFixed(2)}`,
      atMost(coldFar.ratio.totalSeconds, 1.15),
    ),
    row(
      `256 MiB blob, cold, ${far}, ms to the first byte`,
      milliseconds(coldFar.facade.firstByteSeconds),
      `direct ${milliseconds(coldFar.direct.firstByteSeconds)}`,
      atMost(coldFar.ratio.firstByteSeconds, 1.3),
    ),
    row(
      `256 MiB blob, cold, ${near}, s in all`,
      coldNear.facade.totalSeconds.toFixed(2),
      `direct ${coldNear.direct.totalSeconds.toFixed(2)}`,
      atMost(coldNear.ratio.totalSeconds, null),
    ),
    row(
      `256 MiB blob, cold, ${near}, ms to the first byte`,
      milliseconds(coldNear.facade.firstByteSeconds),
      `direct ${milliseconds(coldNear.direct.firstByteSeconds)}`,
      atMost(coldNear.ratio.firstByteSeconds, null),
    ),
    exactly(`${herd.clients} clients on one cold blob, requests to the upstream`, herd.upstreamGets, "1"),
    exactly(`${herd.clients} clients on one cold blob, bytes from the upstream`, herd.upstreamShare, "1.00"),
  ]
}

function scanRows({ plan, scan }: Measurements): readonly Row[] {
  const { archiveBytes, bytesPerSecond, cpuSecondsPerGigabyte, first, peakBytes } = scan
  const rate = Math.round(plan.upstreamBytesPerSecond / 1e6)
  const layer = `a layer of ${(archiveBytes / 1024 ** 3).toFixed(0)} GiB`
  const speed = bytesPerSecond / 1e6
  const peak = peakBytes / MIB
  return [
    row(
      `first file of a cold image, upstream at ${rate} MB/s and ${plan.upstreamDelayMs} ms, s`,
      first.facadeSeconds.toFixed(2),
      `its bytes, direct ${first.directSeconds.toFixed(2)}`,
      atMost(first.ratio, 1.5),
    ),
    row(`reading ${layer} for its files, MB/s uncompressed`, whole(speed), "", {
      text: "",
      target: "≥ 300 MB/s",
      isMet: speed >= 300,
    }),
    row(`reading ${layer} for its files, CPU seconds per GB`, cpuSecondsPerGigabyte.toFixed(2), "", {
      text: "",
      target: "",
      isMet: null,
    }),
    row(`most memory (RSS) while reading ${layer}`, `${whole(peak)} MiB`, "", {
      text: "",
      target: "≤ 200 MiB",
      isMet: peak <= 200,
    }),
  ]
}

function processRows({ crowdCached, crowdCold, plan, restart, start }: Measurements): readonly Row[] {
  const crowd = `${plan.crowd} clients of which ${plan.crowd / 2} stall on a 1 GiB blob`
  const limit = (what: string, value: number, unit: string, most: number) => ({
    ...row(what, `${whole(value)} ${unit}`, "", { text: "", isMet: value <= most, target: `≤ ${most} ${unit}` }),
  })
  const plain = (what: string, value: number, unit: string) =>
    row(what, `${whole(value)} ${unit}`, "", { text: "", isMet: null, target: "" })
  return [
    limit(`most memory (RSS), ${crowd}, cold`, crowdCold.peakBytes / MIB, "MiB", 150),
    limit(`most memory (RSS), ${crowd}, cached`, crowdCached.peakBytes / MIB, "MiB", 150),
    limit("memory (RSS), idle", start.idleBytes / MIB, "MiB", 90),
    limit("start to the first answer", start.startMs, "ms", 150),
    plain("`registry-facade version`, from its start to its end", start.versionMs, "ms"),
    plain("size of the program", start.programBytes / MIB, "MiB"),
    row(
      "256 MiB blob, first read after a restart, s",
      restart.firstSeconds.toFixed(2),
      `second read ${restart.secondSeconds.toFixed(2)}`,
      atMost(restart.firstSeconds / restart.secondSeconds, null),
    ),
  ]
}

interface Verdict {
  readonly text: string
  readonly target: string
  readonly isMet: boolean | null
}

const row = (what: string, facade: string, others: string, { text, target, isMet }: Verdict): Row => ({
  what,
  facade,
  others,
  ratio: text,
  target,
  isMet,
})

const atLeast = (found: number, least: number | null): Verdict => ({
  text: `${found.toFixed(2)} x`,
  target: least === null ? "" : `≥ ${least} x`,
  isMet: least === null ? null : found >= least,
})

const atMost = (found: number, most: number | null): Verdict => ({
  text: `${found.toFixed(2)} x`,
  target: most === null ? "" : `≤ ${most} x`,
  isMet: most === null ? null : found <= most,
})

function exactly(what: string, value: number, target: string): Row {
  const text = value.toFixed(target.includes(".") ? 2 : 0)
  return row(what, text, "", { text: "", target, isMet: text === target })
}

const whole = (value: number): string => Math.round(value).toLocaleString("en")
const milliseconds = (seconds: number): string => (seconds * 1000).toFixed(1)

const HEADINGS = ["", "facade", "compared with", "ratio", "target", "met"] as const

/** The rows as a table in Markdown, which is readable on a terminal too. */
export function table(all: readonly Row[]): string {
  const met = (isMet: boolean | null) => (isMet === null ? "" : isMet ? "yes" : "**no**")
  const cells = all.map((one) => [one.what, one.facade, one.others, one.ratio, one.target, met(one.isMet)])
  const lines = [HEADINGS, ...cells]
  const widths = HEADINGS.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0), 3))
  const print = (line: readonly string[]) => `| ${line.map((cell, at) => cell.padEnd(widths[at] ?? 0)).join(" | ")} |`
  const rule = `|${widths.map((width) => "-".repeat(width + 2)).join("|")}|`
  return [print(HEADINGS), rule, ...cells.map(print)].join("\n")
}
