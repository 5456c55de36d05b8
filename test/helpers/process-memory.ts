import { readFileSync } from "node:fs"

/** What a process holds in memory now: its own, without files that are mapped or cached (proc(5), VmRSS). */
export function residentBytes(pid: number | null): number {
  const status = readFileSync(`/proc/${pid ?? "self"}/status`, "utf8")
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) * 1024
}

/** The most that it has held (VmHWM). */
export function peakResidentBytes(pid: number | null): number {
  const status = readFileSync(`/proc/${pid ?? "self"}/status`, "utf8")
  return Number(/^VmHWM:\s+(\d+) kB/m.exec(status)?.[1]) * 1024
}
