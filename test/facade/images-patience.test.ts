import { describe, expect, test } from "bun:test"
import type { Downloads } from "../../src/blob/downloads.ts"
import { Composer } from "../../src/facade/composer.ts"
import { Images } from "../../src/facade/images.ts"
import { RecentImages } from "../../src/facade/recent-images.ts"
import { SpecLookup } from "../../src/facade/spec-lookup.ts"
import type { Contribution, LayerRequest } from "../../src/layer/layer.ts"
import { digestOf } from "../../src/oci/digest.ts"
import type { ImageSpec } from "../../src/spec/spec.ts"
import { DiskStore } from "../../src/store/disk.ts"
import { createMetrics } from "../../src/telemetry/metrics.ts"
import { PRODUCTION } from "../../src/tuning.ts"
import { byTrust } from "../helpers/by-trust.ts"
import { type ManualClock, manualClock } from "../helpers/manual-clock.ts"
import { silentLogger } from "../helpers/silent-logger.ts"
import { tempDir } from "../helpers/temp-dir.ts"
import { until } from "../helpers/until.ts"

const spec: ImageSpec = {
  base: { kind: "scratch" },
  baseText: "scratch",
  layers: [{ kind: "files", files: new Map(), text: "files", rule: "spec.layers[0]" }],
  edit: { env: [], entrypoint: [], cmd: [], user: "", workingDir: "", labels: {} },
  annotations: {},
  platforms: null,
  trust: "operator",
  key: "1",
}
const signal = new AbortController().signal
/** Composing on nothing, of layers that need no transfer, never gets to one. */
const noDownloads = null as unknown as Downloads

/** Images of one layer, which comes when `contribution` does. */
function imagesOf(contribution: Promise<Contribution>, clock: ManualClock): Images {
  const limits = { maxSizeBytes: 0, minFreeBytes: 0 }
  const store = new DiskStore({
    root: tempDir(),
    limits,
    recentMs: PRODUCTION.recentMs,
    clock,
    log: silentLogger,
    metrics: createMetrics(),
  })
  const source = <Kind extends LayerRequest["kind"]>(kind: Kind) => ({ kind, contribute: () => contribution })
  const layers = {
    ...{ file: source("file"), dir: source("dir"), files: source("files") },
    ...{ image: source("image"), url: source("url"), direct: source("direct") },
  }
  const unused = () => Promise.reject(new Error("The base is scratch"))
  const reader = { root: unused, document: unused, isFresh: () => true, isStale: () => false, blobs: () => [] }
  const readers = byTrust(reader)
  const defaultPlatform = { os: "linux", architecture: "amd64" }
  const composer = new Composer({
    readers,
    layers: byTrust(layers),
    staticLayers: [],
    staticSources: layers,
    defaultPlatform,
    log: silentLogger,
  })
  const specs = new SpecLookup([{ prefix: "fixed", resolve: async () => spec }], silentLogger)
  const recent = new RecentImages({
    clock,
    recentMs: PRODUCTION.recentMs,
    log: store.images,
    documents: store,
    readers,
  })
  return new Images({
    revision: () => ({ specs, composer, recent }),
    log: silentLogger,
    store,
    caches: [],
    downloads: noDownloads,
    metrics: createMetrics(),
    clock,
    patienceMs: 25_000,
  })
}

describe("Images", () => {
  test("image() tells clients to come back before they give up, while composing goes on", async () => {
    const clock = manualClock()
    const contribution = Promise.withResolvers<Contribution>()
    const images = imagesOf(contribution.promise, clock)
    const waiting = images.image("fixed/a", signal).catch((error) => error)
    await until(() => clock.sleepers === 1)
    await clock.advance(25_000)

    expect(await waiting).toMatchObject({
      code: "UNAVAILABLE",
      status: 503,
      retryAfterSeconds: 2,
      message: "Cannot compose fixed/a on scratch yet: its sources took more than 25 s, try again",
    })

    const again = images.image("fixed/a", signal)
    contribution.resolve({ layers: [], env: [], isCurrent: () => true })
    expect((await again).root.descriptor.size).toBeGreaterThan(0)
  })

  test("blob() and document() tell the same", async () => {
    const clock = manualClock()
    const images = imagesOf(new Promise(() => {}), clock)
    const digest = digestOf("nothing")
    const asked = [images.blob("fixed/a", digest, signal), images.document("fixed/a", digest, signal)]
    const answers = asked.map((answer) => answer.catch((error) => error.status))
    await until(() => clock.sleepers === 2)
    await clock.advance(25_000)

    expect(await Promise.all(answers)).toEqual([503, 503])
  })
})
