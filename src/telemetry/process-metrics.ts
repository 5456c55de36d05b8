import { Counter, Gauge, type Registry } from "prom-client"
import { countOpenFiles } from "../lib/open-files.ts"

const LAG_EVERY_MS = 500

export interface ProcessFacts {
  readonly openFilesLimit: number
  /** Failures that nobody has expected. */
  readonly strays: { readonly count: number }
}

/**
 * What the process takes of its machine, by the names that Prometheus' client libraries agree on. Those of prom-client
 * hold nonsense under Bun (heap, virtual memory, GC), so these are read from the system.
 */
export function processMetrics(registry: Registry, { openFilesLimit, strays }: ProcessFacts): void {
  const gauge = (name: string, help: string, read: () => number) =>
    new Gauge({
      name,
      help,
      registers: [registry],
      collect() {
        this.set(read())
      },
    })
  const startedAt = Date.now() / 1000 - process.uptime()
  gauge("process_resident_memory_bytes", "Memory that the process has in RAM", () => process.memoryUsage.rss())
  gauge("process_cpu_seconds_total", "CPU time of the process, user and system", cpuSeconds)
  gauge("process_start_time_seconds", "When the process was started, in seconds since 1970", () => startedAt)
  gauge("process_open_fds", "Files and sockets that the process has open", countOpenFiles)
  gauge("process_max_fds", "Files and sockets that the process may have open", () => openFilesLimit)
  new Counter({
    name: "registry_facade_stray_failures_total",
    help: "Failures that no part of the program has expected, each of them a bug",
    registers: [registry],
    collect() {
      this.reset()
      this.inc(strays.count)
    },
  })
  const lag = new EventLoopLag()
  gauge("registry_facade_event_loop_lag_seconds", "The longest wait for the event loop since the last scrape", () =>
    lag.take(),
  )
}

function cpuSeconds(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1e6
}

/** A timer that tells how late it was. */
class EventLoopLag {
  #worst = 0
  #due = performance.now() + LAG_EVERY_MS

  constructor() {
    setInterval(() => this.#tick(), LAG_EVERY_MS).unref()
  }

  /** In seconds; begins anew. */
  take(): number {
    const worst = Math.max(this.#worst, performance.now() - this.#due)
    this.#worst = 0
    return Math.max(worst, 0) / 1000
  }

  #tick(): void {
    const now = performance.now()
    this.#worst = Math.max(this.#worst, now - this.#due)
    this.#due = now + LAG_EVERY_MS
  }
}
