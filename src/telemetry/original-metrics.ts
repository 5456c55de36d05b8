import { Counter, Gauge, Histogram, type Registry } from "prom-client"
import { BusyCounter } from "./busy-counter.ts"
import type { LabelNames } from "./by-labels.ts"
import type { SourceName, UpstreamKind } from "./labels.ts"

/** What a request is about, as far as the original's metrics tell. */
export type Subject = "manifest" | "blob"

export interface ReadBlob {
  readonly bytes: number
  /** Null where it is not known how long it took. */
  readonly seconds: number | null
  readonly isComplete: boolean
}

/** What Gitpod's registry-facade counted, under its names: `registry` is this server, `downstream` those behind it. */
export interface OriginalMetrics {
  served(subject: Subject, seconds: number, hasFailed: boolean): void
  /** An upstream has answered, whatever it said. */
  asked(kind: UpstreamKind, seconds: number): void
  /** There was no answer. */
  notAnswered(kind: UpstreamKind): void
  blobRead(source: SourceName, blob: ReadBlob): void
}

const PREFIX = "gitpod_registry_facade_"
const MANIFEST_SECONDS = [0.1, 0.5, 1, 2, 5, 10, 60, 300, 600, 1800]
/** 1 MiB/s, doubled 14 times. */
const BYTES_PER_SECOND = Array.from({ length: 15 }, (_, index) => 1024 * 1024 * 2 ** index)

/** The original's word for where a blob came from. */
const BLOB_SOURCE: Readonly<Record<SourceName, string>> = {
  disk: "blobstore",
  ipfs: "ipfs",
  upstream: "proxy",
  config: "config",
  static: "composite",
  image: "composite",
  content: "composite",
  peer: "peer",
  s3: "s3",
}

const subjectOf = (kind: UpstreamKind): Subject | null => (kind === "manifest" || kind === "blob" ? kind : null)

export function originalMetrics(registry: Registry): OriginalMetrics {
  const declared = declare(registry)
  return {
    served: (subject, seconds, hasFailed) => {
      if (subject === "manifest") declared.manifestSeconds.observe(seconds)
      else declared.blobRequests.inc()
      if (hasFailed) declared.failures.inc({ type: subject })
    },
    asked: (kind, seconds) => {
      if (kind === "manifest") declared.upstreamManifestSeconds.observe(seconds)
      if (kind === "blob") declared.upstreamBlobRequests.inc()
    },
    notAnswered: (kind) => {
      const type = subjectOf(kind)
      if (type === "blob") declared.upstreamBlobRequests.inc()
      if (type === null) return
      declared.upstreamFailures.inc({ type })
      declared.upstreamFailuresAsNamedOnDashboards.inc({ type })
    },
    blobRead: (source, { bytes, seconds, isComplete }) => {
      const blobSource = BLOB_SOURCE[source]
      declared.blobDownloads.inc({ blobSource, ok: String(isComplete) })
      declared.blobBytes.inc({ blobSource }, bytes)
      if (source === "upstream") {
        declared.upstreamBlobDownloads.inc({ ok: String(isComplete) })
        declared.upstreamBlobBytes.inc(bytes)
      }
      if (isComplete && seconds !== null && seconds > 0) declared.blobRate.observe({ blobSource }, bytes / seconds)
    },
  }
}

function declare(registry: Registry) {
  const registers = [registry]
  const counter = <Label extends string>(name: string, help: string, labelNames: readonly Label[] = []) =>
    new Counter({ name: PREFIX + name, help, labelNames, registers })
  const busyCounter = <Label extends string>(name: string, help: string, labelNames: LabelNames<Label>) =>
    new BusyCounter({ name: PREFIX + name, help, labelNames, registers })
  const seconds = (name: string, help: string) =>
    new Histogram({ name: PREFIX + name, help, buckets: MANIFEST_SECONDS, registers })
  const failures = (name: string, help: string) => {
    const failed = counter(name, help, ["type"])
    for (const type of ["manifest", "blob"]) failed.inc({ type }, 0) // alerts want to see 0 before they see 1
    return failed
  }
  return {
    manifestSeconds: seconds("registry_manifest_req_seconds", "Time until a manifest was ready to be sent"),
    blobRequests: counter("registry_blob_req_total", "Blobs asked for, HEAD included"),
    failures: failures("registry_req_failed_total", "Requests answered with 5xx, by what was asked for"),
    blobDownloads: busyCounter("registry_blob_req_dl_total", "Blobs read from a source, and whether to their end", [
      "blobSource",
      "ok",
    ]),
    blobBytes: busyCounter("registry_blob_req_bytes_total", "Bytes of blobs read from a source", ["blobSource"]),
    blobRate: new Histogram({
      name: `${PREFIX}registry_blob_req_bytes_second`,
      help: "Bytes per second of a blob that was read from a source to its end",
      labelNames: ["blobSource"],
      buckets: BYTES_PER_SECOND,
      registers,
    }),
    upstreamManifestSeconds: seconds(
      "downstream_manifest_req_seconds",
      "Time until an upstream answered a request for a manifest",
    ),
    upstreamBlobRequests: counter("downstream_blob_req_total", "Blobs asked of upstreams"),
    upstreamFailures: failures("downstream_req_failed_total", "Requests that an upstream did not answer"),
    upstreamFailuresAsNamedOnDashboards: failures(
      "upstream_req_failed_total",
      "The same as downstream_req_failed_total, by the name that the original's dashboards use",
    ),
    upstreamBlobDownloads: counter("downstream_blob_req_dl_total", "Blobs read from upstreams", ["ok"]),
    upstreamBlobBytes: counter("downstream_blob_req_bytes_total", "Bytes of blobs read from upstreams"),
  }
}

/** The size of the process' work by the name that the original's dashboards show it under. */
export function goroutines(registry: Registry, transfers: Gauge): void {
  new Gauge({
    name: "go_goroutines",
    help: "Transfers in progress, and one for the process: where the original had goroutines",
    registers: [registry],
    async collect() {
      const { values } = await transfers.get()
      this.set(1 + (values[0]?.value ?? 0))
    },
  })
}
