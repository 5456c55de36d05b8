import { sendBody } from "../chaos/broken-bodies.ts"
import type { Fault } from "../chaos/faults.ts"
import { head, type RawConnection, type RawRequest, startRawServer } from "../chaos/raw-http.ts"
import type { Content, TestImage } from "./images.ts"

/** Answers one request in place of the upstream; false closes the connection after it. */
export type Answer = (request: RawRequest, connection: RawConnection, content: Content) => Promise<boolean>

/** What goes wrong with one request: a fault at a place of the body between 0 and 1, or anything else. */
export type Step = Fault | { readonly fault: Fault; readonly place: number } | Answer

export interface SeenRequest {
  readonly method: string
  readonly range: string | null
  /** From `performance.now()`. */
  readonly at: number
}

export interface FaultyUpstream {
  /** host:port, as references write it. */
  readonly host: string
  add(repository: string, image: TestImage): void
  /** What goes wrong with the next requests for this digest or tag, in this order; then nothing does. */
  plan(key: string, ...steps: readonly Step[]): void
  /** What goes wrong with every request from now on; null: nothing. */
  always(step: Step | null): void
  /** Requests for this digest or tag. */
  asked(key: string): readonly SeenRequest[]
  /** Bytes of bodies that were sent for this digest. */
  sent(digest: string): number
  /** The most bodies that were under way at the same time, whatever they were of. */
  peak(): number
  stop(): void
}

export const status =
  (code: number, headers: Readonly<Record<string, string | number>> = {}): Answer =>
  async (_, connection) => {
    await connection.send(head(code, { "content-length": 0, ...headers }))
    return true
  }

/** Accepts the request and stays silent, with the connection open, until the facade gives up. */
export const silence: Answer = async (_, connection) => {
  while (!connection.isGone) await Bun.sleep(5)
  return false
}

/** A registry that speaks HTTP byte by byte, and fails as it is told to. */
export function startFaultyUpstream(): FaultyUpstream {
  const contents = new Map<string, Content>()
  const plans = new Map<string, Step[]>()
  const seen = new Map<string, SeenRequest[]>()
  const sent = new Map<string, number>()
  let always: Step | null = null
  let live = 0
  let peak = 0
  const server = startRawServer(async (request, connection) => {
    const [, repository = "", key = ""] =
      /^\/v2\/(.+)\/(?:manifests|blobs)\/([^/]+)$/.exec(decodeURIComponent(request.path)) ?? []
    const content = contents.get(`${repository} ${key}`)
    if (content === undefined) return await status(404)(request, connection, NOTHING)
    const range = request.headers.get("range") ?? null
    seen.set(key, [...(seen.get(key) ?? []), { method: request.method, range, at: performance.now() }])
    const step = plans.get(key)?.shift() ?? always
    if (typeof step === "function") return await step(request, connection, content)
    const planned = step === null ? null : typeof step === "string" ? { fault: step, place: 0.5 } : step
    live += 1
    peak = Math.max(peak, live)
    const count = (bytes: number) => void sent.set(content.digest, (sent.get(content.digest) ?? 0) + bytes)
    const body = { content, other: inverted(content), planned, silenceMs: 60_000, sent: count }
    return await sendBody(request, connection, body).finally(() => {
      live -= 1
    })
  })
  return {
    host: `127.0.0.1:${server.port}`,
    add: (repository, image) => {
      contents.set(`${repository} 1`, image.manifest)
      for (const content of [image.manifest, ...image.blobs]) contents.set(`${repository} ${content.digest}`, content)
    },
    plan: (key, ...steps) => void plans.set(key, [...steps]),
    always: (step) => {
      always = step
    },
    asked: (key) => seen.get(key) ?? [],
    sent: (digest) => sent.get(digest) ?? 0,
    peak: () => peak,
    stop: () => server.stop(),
  }
}

const NOTHING: Content = { mediaType: "", digest: "", size: 0, bytes: new Uint8Array() }

/** As large, and wrong in every byte. */
const inverted = (content: Content): Content => ({ ...content, bytes: content.bytes.map((byte) => byte ^ 0xff) })

/** Announces everything, sends a part of it and then nothing, with the connection open, until the facade gives up. */
export const stallAt =
  (place: number): Answer =>
  async (_, connection, { bytes, mediaType }) => {
    await connection.send(head(200, { "content-type": mediaType, "content-length": bytes.byteLength }))
    await connection.send(bytes.subarray(0, Math.floor(place * bytes.byteLength)))
    while (!connection.isGone) await Bun.sleep(5)
    return false
  }

/** Sends a part, and resets the connection when it is told to: a reset takes away what the facade has not read yet. */
export const resetAfter =
  (start: number, end: number, told: Promise<void>): Answer =>
  async (_, connection, { bytes, mediaType, size }) => {
    const range = { "content-range": `bytes ${start}-${size - 1}/${size}`, "content-length": size - start }
    const length = { "content-length": size }
    await connection.send(head(start > 0 ? 206 : 200, { "content-type": mediaType, ...(start > 0 ? range : length) }))
    await connection.send(bytes.subarray(start, end))
    await told
    connection.reset()
    return false
  }
