import { Counter, Gauge, Histogram, Registry } from "prom-client"

/** Where the bytes of a blob came from; a closed set, used as a label. */
export type SourceName = "disk" | "ipfs" | "upstream" | "config" | "static" | "image" | "content" | "peer" | "s3"
export type Outcome = "hit" | "miss" | "error"
export type UpstreamKind = "manifest" | "blob" | "tags" | "referrers" | "token"
export type Route = "base" | "manifest" | "blob" | "tags" | "referrers" | "other"

const SECONDS = [0.001, 0.005, 0.02, 0.1, 0.5, 2, 10, 30, 120]

export type Metrics = ReturnType<typeof createMetrics>

/** What makes a metric of each kind, under the product's prefix. */
function makersOf(registry: Registry) {
  const named = (name: string, help: string) => ({ name: `registry_facade_${name}`, help, registers: [registry] })
  return {
    counter: <Label extends string>(name: string, help: string, labelNames: readonly Label[]) =>
      new Counter({ ...named(name, help), labelNames }),
    histogram: <Label extends string>(name: string, help: string, labelNames: readonly Label[]) =>
      new Histogram({ ...named(name, help), labelNames, buckets: SECONDS }),
    gauge: <Label extends string>(name: string, help: string, labelNames: readonly Label[]) =>
      new Gauge({ ...named(name, help), labelNames }),
  }
}

/** Every metric of the product, declared once. */
export function createMetrics() {
  const registry = new Registry()
  const { counter, histogram, gauge } = makersOf(registry)
  return {
    registry,
    httpRequests: counter("http_requests_total", "Requests answered, by route and status", ["route", "code"]),
    httpSeconds: histogram("http_request_seconds", "Time until the answer was ready to be sent", ["route"]),
    blobBytes: counter("blob_bytes_total", "Bytes of blobs read, by the source that had them", ["source"]),
    blobRequests: counter("blob_requests_total", "Blobs asked of a source, by outcome", ["source", "outcome"]),
    blobTtfb: histogram("blob_ttfb_seconds", "Time until a source gave the first byte of a blob", ["source"]),
    upstreamRequests: counter("upstream_requests_total", "Requests to upstream registries", ["host", "kind", "code"]),
    upstreamResumes: counter(
      "upstream_resumes_total",
      "Transfers that went on in the middle of a blob after a failure",
      [],
    ),
    coalesced: counter("coalesced_total", "Requests that joined a transfer which was under way", []),
    integrityFailures: counter("integrity_failures_total", "Blobs whose bytes did not match their digest", ["source"]),
    staleServed: counter("stale_served_total", "Manifests served as they were, because an upstream fails", []),
    breakerOpen: gauge("breaker_open", "1 while a dependency is left alone because it fails", ["dependency"]),
    rateLimit: gauge("upstream_ratelimit_limit", "Requests that an upstream allows in all, as it tells", ["host"]),
    rateLimitRemaining: gauge("upstream_ratelimit_remaining", "Requests that an upstream still allows, as it tells", [
      "host",
    ]),
    configReloads: counter("config_reloads_total", "Files that were read again after a change", ["result"]),
    authRequests: counter("auth_requests_total", "Requests with a user and a password, by what came of it", [
      "outcome",
    ]),
    tlsExpiry: gauge(
      "tls_certificate_expiry_timestamp_seconds",
      "When the certificate that clients are shown expires, in seconds since 1970",
      ["listener"], // without a label it would be there, as 0, where no TLS is
    ),
    storeBytes: gauge("store_bytes", "Bytes of the blobs in the disk store", []),
    storeEvictions: counter("store_evictions_total", "Blobs removed from the disk store to make room", []),
    storeBypass: counter("store_bypass_total", "Content that was served without being kept, by the reason", ["reason"]),
    ipfsRequests: counter("ipfs_requests_total", "Questions to the IPFS node, by what was asked and the result", [
      "op",
      "result",
    ]),
    ipfsPublished: counter("ipfs_published_total", "Blobs offered to the IPFS node, by the result", ["result"]),
    ipfsReplicated: counter("ipfs_replicated_total", "Blobs that an IPFS Cluster was asked to hold, by the result", [
      "result",
    ]),
    ipfsQueue: gauge("ipfs_queue_entries", "Blobs that wait to be added to the IPFS node", []),
    ipfsPins: gauge("ipfs_pins", "Blobs that are pinned on the IPFS node for this registry", []),
    ipfsRepoBytes: gauge("ipfs_repo_bytes", "Bytes that the IPFS node holds", []),
    nodeTurns: counter("node_turns_total", "Cold blobs, by whose turn it was to fetch them", ["role"]),
    redisErrors: counter("redis_errors_total", "Commands that Redis did not answer, or refused", []),
    inflightDownloads: gauge("inflight_downloads", "Blobs that are being fetched now", []),
  }
}
