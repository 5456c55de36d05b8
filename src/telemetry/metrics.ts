import { Counter, Gauge, Histogram, Registry } from "prom-client"
import { BusyCounter } from "./busy-counter.ts"
import { BusyHistogram } from "./busy-histogram.ts"
import type { LabelNames } from "./by-labels.ts"
import { createFileMetrics } from "./file-metrics.ts"
import { grpcMetrics } from "./grpc-metrics.ts"
import { SOURCE_NAMES } from "./labels.ts"
import { goroutines, originalMetrics } from "./original-metrics.ts"

const SECONDS = [0.001, 0.005, 0.02, 0.1, 0.5, 2, 10, 30, 120]

export type Metrics = ReturnType<typeof createMetrics>

/** Every metric of the product, declared once. */
export function createMetrics() {
  const metrics = declareMetrics(new Registry())
  // An alert on the increase of a series does not see one that begins with 1
  for (const result of ["success", "failure"]) metrics.configReloads.inc({ result }, 0)
  for (const reason of ["enospc", "readonly", "io", "quota"]) metrics.storeBypass.inc({ reason }, 0)
  for (const source of SOURCE_NAMES) metrics.integrityFailures.inc({ source }, 0)
  return metrics
}

function declareMetrics(registry: Registry) {
  const declare = declarations(registry)
  const inflightDownloads = declare.gauge("inflight_downloads", "Blobs that are being fetched now", [])
  goroutines(registry, inflightDownloads)
  return {
    registry,
    original: originalMetrics(registry),
    grpc: grpcMetrics(registry),
    inflightDownloads,
    ...answers(declare),
    ...blobs(declare),
    ...upstreams(declare),
    ...sharing(declare),
    ...createFileMetrics(registry),
  }
}

type Declarations = ReturnType<typeof declarations>

function declarations(registry: Registry) {
  const registers = [registry]
  const named = (name: string) => `registry_facade_${name}`
  return {
    counter: <Label extends string>(name: string, help: string, labelNames: readonly Label[]) =>
      new Counter({ name: named(name), help, labelNames, registers }),
    /** For what is counted on every request. */
    busyCounter: <Label extends string>(name: string, help: string, labelNames: LabelNames<Label>) =>
      new BusyCounter({ name: named(name), help, labelNames, registers }),
    busyHistogram: <Label extends string>(name: string, help: string, labelNames: LabelNames<Label>) =>
      new BusyHistogram({ name: named(name), help, labelNames, buckets: SECONDS, registers }),
    histogram: <Label extends string>(name: string, help: string, labelNames: readonly Label[]) =>
      new Histogram({ name: named(name), help, labelNames, buckets: SECONDS, registers }),
    gauge: <Label extends string>(name: string, help: string, labelNames: readonly Label[]) =>
      new Gauge({ name: named(name), help, labelNames, registers }),
  }
}

function answers({ busyCounter, busyHistogram, counter, gauge }: Declarations) {
  return {
    httpRequests: busyCounter("http_requests_total", "Requests answered, by route and status", ["route", "code"]),
    httpSeconds: busyHistogram("http_request_seconds", "Time until the answer was ready to be sent", ["route"]),
    idleClosed: counter("idle_closed_total", "Idle connections closed because few files were left", []),
    staleServed: counter("stale_served_total", "Manifests served as they were, because an upstream fails", []),
    configReloads: counter("config_reloads_total", "Files that were read again after a change", ["result"]),
    authRequests: counter("auth_requests_total", "Requests with a user and a password, by what came of it", [
      "outcome",
    ]),
    tlsExpiry: gauge(
      "tls_certificate_expiry_timestamp_seconds",
      "When the certificate that clients are shown expires, in seconds since 1970",
      ["listener"], // without a label it would be there, as 0, where no TLS is
    ),
  }
}

function blobs({ busyCounter, counter, gauge, histogram }: Declarations) {
  return {
    blobBytes: busyCounter("blob_bytes_total", "Bytes of blobs read, by the source that had them", ["source"]),
    blobRequests: busyCounter("blob_requests_total", "Blobs asked of a source, by outcome", ["source", "outcome"]),
    blobTtfb: histogram("blob_ttfb_seconds", "Time until a source gave the first byte of a blob", ["source"]),
    coalesced: counter("coalesced_total", "Requests that joined a transfer which was under way", []),
    integrityFailures: counter("integrity_failures_total", "Blobs whose bytes did not match their digest", ["source"]),
    storeBytes: gauge("store_bytes", "Bytes of the blobs in the disk store", []),
    storeEvictions: counter("store_evictions_total", "Blobs removed from the disk store to make room", []),
    storeBypass: counter("store_bypass_total", "Content that was served without being kept, by the reason", ["reason"]),
  }
}

function upstreams({ counter, gauge }: Declarations) {
  return {
    upstreamRequests: counter("upstream_requests_total", "Requests to upstream registries", ["host", "kind", "code"]),
    upstreamResumes: counter(
      "upstream_resumes_total",
      "Transfers that went on in the middle of a blob after a failure",
      [],
    ),
    mirrorFailures: counter(
      "mirror_failures_total",
      "Questions that went on to the next host because a mirror failed",
      ["host"],
    ),
    breakerOpen: gauge("breaker_open", "1 while a dependency is left alone because it fails", ["dependency"]),
    rateLimit: gauge("upstream_ratelimit_limit", "Requests that an upstream allows in all, as it tells", ["host"]),
    rateLimitRemaining: gauge("upstream_ratelimit_remaining", "Requests that an upstream still allows, as it tells", [
      "host",
    ]),
  }
}

function sharing({ counter, gauge }: Declarations) {
  return {
    ipfsRequests: counter(
      "ipfs_requests_total",
      "Questions to the IPFS node: probe (does it have the content), local and swarm (reading it)",
      ["op", "result"],
    ),
    ipfsPublished: counter("ipfs_published_total", "Blobs offered to the IPFS node: added, or why not", ["result"]),
    ipfsReplicated: counter(
      "ipfs_replicated_total",
      "Blobs that the IPFS Cluster was asked to hold: asked, error and skipped (both are tried again)",
      ["result"],
    ),
    ipfsQueue: gauge("ipfs_queue_entries", "Blobs that wait to be added to the IPFS node", []),
    ipfsPins: gauge("ipfs_pins", "Blobs that are pinned on the IPFS node for this registry", []),
    ipfsRepoBytes: gauge("ipfs_repo_bytes", "Bytes that the IPFS node holds", []),
    nodeTurns: counter(
      "node_turns_total",
      "Cold blobs: owner fetched it, waiter got it from another node, impatient and alone did not wait for one",
      ["role"],
    ),
    redisErrors: counter("redis_errors_total", "Commands that Redis did not answer, or refused", []),
  }
}
