import { sha256 } from "../helpers/images.ts"
import { BYTES, type FaultPlan, plannedFaults, VISIBLE } from "./faults.ts"
import { createRandom, type Random } from "./random.ts"
import type { Universe, UniverseBlob, UniverseName } from "./universe.ts"

export interface ClientOptions {
  readonly url: string
  readonly universe: Universe
  readonly plan: FaultPlan
  /** Repositories that the upstream has refused to those who logged in anew. */
  readonly refused: ReadonlySet<string>
  /** Larger blobs are sent before they are verified. */
  readonly verifyFirstBytes: number
  /** Stops at the first thing that is wrong. */
  readonly isImpatient: boolean
}

/** What a client saw that must not be. */
export interface Violation {
  readonly rule: string
  readonly op: number
  readonly text: string
}

export interface Tally {
  pulls: number
  completed: number
  /** Requests that failed where failing was allowed. */
  failed: number
  /** Slowest request, milliseconds. */
  slowestMs: number
}

const DEADLINE_MS = 20_000
const TRIES = 40

type Operation = (client: Client) => Promise<void>

interface Client {
  readonly op: number
  readonly options: ClientOptions
  readonly random: Random
  readonly target: UniverseName
  readonly tally: Tally
  readonly violate: (rule: string, text: string) => void
  readonly hasViolated: () => boolean
}

export interface Reporting {
  readonly tally: Tally
  /** Grows as things turn out to be wrong. */
  readonly violations: Violation[]
}

/** Does one thing that a client does, and says what was wrong with the answer. */
export async function act(
  op: number,
  target: UniverseName,
  options: ClientOptions,
  { tally, violations }: Reporting,
): Promise<void> {
  const random = createRandom(options.universe.seed, "client", op)
  const violate = (rule: string, text: string) => void violations.push({ rule, op, text })
  const startedAt = performance.now()
  tally.pulls += 1
  await random
    .pick(OPERATIONS)({ op, options, random, target, tally, violate, hasViolated: () => violations.length > 0 })
    .catch((error) => violate("V8", `${target.name}: ${error}`))
  const ms = performance.now() - startedAt
  tally.slowestMs = Math.max(tally.slowestMs, ms)
}

/** A whole blob, as every client pulls. */
const pullBlob: Operation = async (client) => await expectBlob(client, pickBlob(client), {})

const pullRange: Operation = async (client) => {
  const blob = pickBlob(client)
  if (blob.size < 2) return await expectBlob(client, blob, {})
  const start = client.random.below(blob.size)
  const end = start + 1 + client.random.below(blob.size - start)
  const forms = [`bytes=${start}-${end - 1}`, `bytes=${start}-`, `bytes=-${end - start}`, `bytes=${start}-${start}`]
  const form = client.random.below(forms.length)
  const spans = [
    [start, end],
    [start, blob.size],
    [blob.size - (end - start), blob.size],
    [start, start + 1],
  ] as const
  const [from, to] = spans[form] ?? [0, blob.size]
  await expectBlob(client, blob, { range: { header: forms[form] ?? "", from, to } })
}

/** As containerd does: open-ended ranges side by side, each left after one piece. */
const pullSideBySide: Operation = async (client) => {
  const blob = pickBlob(client)
  const starts = [0, 1, 2, 3].map((part) => Math.floor((blob.size * part) / 4))
  await Promise.all(starts.map((start) => leaveEarly(client, blob, `bytes=${start}-`)))
}

const pullAndLeave: Operation = async (client) => await leaveEarly(client, pickBlob(client), null)

const pullAndStall: Operation = async (client) =>
  await expectBlob(client, pickBlob(client), { stallMs: 5 + client.random.below(60) })

const askManifestAndLeave: Operation = async (client) => {
  const abort = new AbortController()
  const asked = request(client, "manifests/latest", { signal: abort.signal }).catch(() => null) // it is left
  await Bun.sleep(client.random.below(10))
  abort.abort()
  await asked
}

const askHead: Operation = async (client) => {
  const blob = pickBlob(client)
  const response = await request(client, `blobs/${blob.digest}`, { method: "HEAD" })
  if (response.status !== 200) return allowFailure(client, blob, response.status, "HEAD")
  if (response.headers.get("content-length") !== String(blob.size))
    client.violate("V1", `HEAD of ${blob.digest} tells another length`)
}

/** The manifest by tag, then by digest, then its config; its layers must be the true ones. */
const pullManifest: Operation = async (client) => {
  const { target } = client
  const response = await request(client, "manifests/latest")
  if (response.status !== 200) return allowFailure(client, null, response.status, "manifest")
  const bytes = new Uint8Array(await response.arrayBuffer())
  if (response.headers.get("docker-content-digest") !== sha256(bytes))
    client.violate("V1", `the manifest of ${target.name} has another digest`)
  const manifest = JSON.parse(new TextDecoder().decode(bytes))
  const [child] = manifest.manifests ?? []
  const image = child === undefined ? manifest : await byDigest(client, "manifests", child.digest)
  if (image === null) return
  const layers = image.layers.map(({ digest }: { digest: string }) => digest)
  if (JSON.stringify(layers) !== JSON.stringify(target.layers.map(({ digest }) => digest)))
    client.violate("V1", `${target.name} has other layers than its base`)
  const config = await byDigest(client, "blobs", image.config.digest)
  if (config !== null && config.architecture !== "amd64") client.violate("V1", `${target.name} has another config`)
  client.tally.completed += 1
}

/** Content of another image must not be found under this name. */
const askForeign: Operation = async (client) => {
  const own = new Set(client.target.layers.map(({ digest }) => digest))
  const other = client.random.pick(client.options.universe.names).layers.find(({ digest }) => !own.has(digest))
  if (other === undefined) return
  const response = await request(client, `blobs/${other.digest}`)
  await response.body?.cancel()
  if (response.status === 200) client.violate("V11", `${other.digest} was served under ${client.target.name}`)
}

const OPERATIONS: readonly Operation[] = [
  ...Array<Operation>(10).fill(pullBlob),
  ...Array<Operation>(4).fill(pullRange),
  ...Array<Operation>(2).fill(pullManifest),
  ...Array<Operation>(2).fill(pullAndStall),
  pullSideBySide,
  pullAndLeave,
  askManifestAndLeave,
  askHead,
  askForeign,
]

/** Large blobs are rare, and most can go wrong with them. */
function pickBlob({ random, target }: Client): UniverseBlob {
  const [largest] = target.layers.toSorted((one, other) => other.size - one.size)
  return largest !== undefined && random.below(3) === 0 ? largest : random.pick(target.layers)
}

interface Expectation {
  readonly range?: { readonly header: string; readonly from: number; readonly to: number }
  readonly stallMs?: number
}

/** The whole truth, or a failure that was allowed; in the end the truth, unless the blob is poisoned. */
async function expectBlob(client: Client, blob: UniverseBlob, expectation: Expectation): Promise<void> {
  for (let tries = 0; tries < TRIES; tries += 1) {
    if (await attempt(client, blob, expectation)) return
    if (blob.isPoisoned || (client.options.isImpatient && client.hasViolated())) return
    await Bun.sleep(5)
  }
  client.violate("V9", `${blob.digest} of ${client.target.name} could not be had in ${TRIES} tries`)
}

/** False: it failed, as it may. */
async function attempt(client: Client, blob: UniverseBlob, { range, stallMs }: Expectation): Promise<boolean> {
  const init = range === undefined ? {} : { headers: { range: range.header } }
  const response = await request(client, `blobs/${blob.digest}`, init).catch((error) => {
    if (error.code === "ECONNRESET") return null
    throw error
  })
  if (response === null) {
    allowBreak(client, blob)
    return false
  }
  if (response.status === 416 && blob.size === 0) return true
  if (response.status !== (range === undefined ? 200 : 206)) {
    await response.body?.cancel()
    allowFailure(client, blob, response.status, "blob")
    return false
  }
  const wanted = range === undefined ? blob.bytes : blob.bytes.subarray(range.from, range.to)
  if (
    range !== undefined &&
    response.headers.get("content-range") !== `bytes ${range.from}-${range.to - 1}/${blob.size}`
  ) {
    client.violate("V2", `${blob.digest}: ${range.header} was answered with ${response.headers.get("content-range")}`)
  }
  const bytes = await readAll(response, stallMs ?? 0)
  if (bytes === null) {
    allowBreak(client, blob)
    return false
  }
  if (Buffer.compare(bytes, wanted) !== 0)
    client.violate(range === undefined ? "V1" : "V2", `wrong bytes of ${blob.digest} were completed`)
  else client.tally.completed += 1
  return true
}

async function byDigest(client: Client, kind: string, digest: string) {
  const response = await request(client, `${kind}/${digest}`)
  if (response.status !== 200) {
    allowFailure(client, null, response.status, kind)
    return null
  }
  const bytes = new Uint8Array(await response.arrayBuffer())
  if (sha256(bytes) !== digest) client.violate("V1", `${digest} was answered with other bytes`)
  return JSON.parse(new TextDecoder().decode(bytes))
}

/** Null: it broke off. */
async function readAll(response: Response, stallMs: number): Promise<Buffer | null> {
  const chunks: Uint8Array[] = []
  try {
    for await (const chunk of response.body ?? []) {
      chunks.push(chunk)
      if (stallMs > 0 && chunks.length === 1) await Bun.sleep(stallMs)
    }
    return Buffer.concat(chunks)
  } catch {
    return null
  }
}

async function leaveEarly(client: Client, blob: UniverseBlob, range: string | null): Promise<void> {
  const abort = new AbortController()
  try {
    const response = await request(client, `blobs/${blob.digest}`, {
      signal: abort.signal,
      headers: range === null ? {} : { range },
    })
    await response.body?.getReader().read()
  } catch {
    // it may break off, too
  }
  abort.abort()
}

async function request({ options, target }: Client, path: string, init: RequestInit = {}): Promise<Response> {
  const deadline = AbortSignal.timeout(DEADLINE_MS)
  const signal = init.signal instanceof AbortSignal ? AbortSignal.any([init.signal, deadline]) : deadline
  const response = fetch(`${options.url}/v2/${target.name}/${path}`, { decompress: false, ...init, signal })
  return await response.catch((error) => {
    throw deadline.aborted ? new Error(`no answer to ${path} within ${DEADLINE_MS} ms`) : error
  })
}

/** Which of an upstream's answers a client may see: those that are final, and wrong bytes. */
function allowFailure(client: Client, blob: UniverseBlob | null, status: number, what: string): void {
  client.tally.failed += 1
  const { options, target } = client
  if (blob?.isPoisoned === true && (status === 502 || status === 503)) return
  if (status === 403 && options.refused.has(target.repository)) return
  const faults = keysOf(target, blob).flatMap((key) =>
    plannedFaults(options.plan, key).map(({ fault }) => fault as string),
  )
  const isLarge = blob !== null && blob.size > options.verifyFirstBytes
  const isAllowed = faults.some(
    (fault) => VISIBLE.has(fault) || (isLarge && (BYTES as readonly string[]).includes(fault)),
  )
  if (!isAllowed)
    client.violate(
      "V9",
      `${what} of ${target.name} was answered with ${status} although only passing faults were planned: ${faults.join(" ")}`,
    )
}

/** Bytes that have left before they were verified may turn out wrong; small blobs are verified before. */
function allowBreak(client: Client, blob: UniverseBlob): void {
  client.tally.failed += 1
  const isSmall = blob.size <= client.options.verifyFirstBytes
  const faults = plannedFaults(client.options.plan, blob.digest).map(({ fault }) => fault as string)
  const mayBeWrong =
    blob.isPoisoned || faults.some((fault) => (BYTES as readonly string[]).includes(fault) || VISIBLE.has(fault))
  if (isSmall || !mayBeWrong)
    client.violate(
      "V9",
      `${blob.digest} (${blob.size} bytes) broke off although nothing wrong was planned: ${faults.join(" ")}`,
    )
}

/** Everything upstream that an answer depends on. */
function keysOf({ repository, manifests, config }: UniverseName, blob: UniverseBlob | null): readonly string[] {
  return [
    `${repository}/1`,
    ...manifests.map((digest) => `${repository}/${digest}`),
    config,
    ...(blob === null ? [] : [blob.digest]),
  ]
}
