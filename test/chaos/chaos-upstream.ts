import { randomUUID } from "node:crypto"
import type { Content } from "../helpers/images.ts"
import { type Body, sendBody } from "./broken-bodies.ts"
import { type FaultPlan, type PlannedFault, plannedFault } from "./faults.ts"
import { hash } from "./random.ts"
import { head, type RawConnection, type RawRequest, type RawServer, startRawServer } from "./raw-http.ts"
import type { Universe } from "./universe.ts"

/** What the upstream has seen and done; the truth that oracles compare with. */
export interface UpstreamRecord {
  requests: number
  faults: number
  /** How often each kind of fault happened. */
  readonly byFault: Map<string, number>
  /** By digest: bytes of bodies sent, requests for it, faults in them. */
  readonly blobs: Map<string, { bytes: number; requests: number; faults: number; live: number; peak: number }>
  /** Repositories of which something was refused several times in a row, with new tokens: nobody goes on for ever. */
  readonly refused: Set<string>
  /** Values of Authorization that reached a host which is not the registry. */
  readonly leaks: string[]
}

export interface ChaosUpstream {
  readonly host: string
  readonly record: UpstreamRecord
  readonly connections: () => number
  stop(): void
}

/** How long the upstream is silent when it stalls: longer than the facade's patience in a run. */
const SILENCE_MS = 250
/** Requests that a token is good for. */
const TOKEN_USES = 300
/** As many 401 in a row are an answer. */
const REFUSALS = 3

export function startChaosUpstream(universe: Universe, plan: FaultPlan): ChaosUpstream {
  const record: UpstreamRecord = {
    requests: 0,
    faults: 0,
    byFault: new Map(),
    blobs: new Map(),
    refused: new Set(),
    leaks: [],
  }
  const attempts = new Map<string, number>()
  const tokens = new Map<string, number>()
  const nextAttempt = (key: string) => {
    const attempt = attempts.get(key) ?? 0
    attempts.set(key, attempt + 1)
    return attempt
  }

  const refusals = new Map<string, number>()
  const noteRefusal = (key: string, repository: string, isRefused: boolean) => {
    const inRow = isRefused ? (refusals.get(key) ?? 0) + 1 : 0
    refusals.set(key, inRow)
    if (inRow >= REFUSALS) record.refused.add(repository)
  }

  const storage = startRawServer(async (request, connection) => {
    noteLeak(request, record)
    const digest = request.path.slice(1)
    const content = universe.blobs.get(digest)
    if (content === undefined || request.query.get("expired") === "1") return await refuse(connection, 403)
    return await sendContent({ request, connection, content, planned: null, record, universe })
  })
  const elsewhere = startRawServer(async (request, connection) => {
    noteLeak(request, record)
    return await refuse(connection, 200)
  })

  const registry: RawServer = startRawServer(async (request, connection) => {
    record.requests += 1
    if (request.path === "/token") return await giveToken(request, connection, universe, tokens)
    const [, repository = "", kind = "", reference = ""] =
      /^\/v2\/(.+)\/(manifests|blobs)\/([^/]+)$/.exec(request.path) ?? []
    const key = kind === "manifests" ? `${repository}/${reference}` : reference
    if (!takeToken(request, tokens)) {
      noteRefusal(key, repository, true)
      return await challenge(connection, registry.port)
    }
    const content = kind === "manifests" ? universe.manifests.get(key) : universe.blobs.get(reference)
    if (content === undefined) return await refuse(connection, 404)
    const planned = plannedFault(plan, key, nextAttempt(key))
    noteRefusal(key, repository, planned?.fault === "401")
    if (planned !== null) {
      record.faults += 1
      record.byFault.set(planned.fault, (record.byFault.get(planned.fault) ?? 0) + 1)
    }
    const handled = await answerPlanned(
      { request, connection, content, planned, record, universe },
      { storage, elsewhere, tokens },
    )
    return handled ?? (await sendContent({ request, connection, content, planned, record, universe }))
  })

  return {
    host: `127.0.0.1:${registry.port}`,
    record,
    connections: () => registry.open() + storage.open() + elsewhere.open(),
    stop: () => {
      for (const server of [registry, storage, elsewhere]) server.stop()
    },
  }
}

interface Answering {
  readonly request: RawRequest
  readonly connection: RawConnection
  readonly content: Content
  readonly planned: PlannedFault | null
  readonly record: UpstreamRecord
  readonly universe: Universe
}

interface Hosts {
  readonly storage: RawServer
  readonly elsewhere: RawServer
  readonly tokens: Map<string, number>
}

/** Faults that need no body. Null: the content is sent, perhaps broken. */
async function answerPlanned(
  { request, connection, content, planned }: Answering,
  { storage, elsewhere, tokens }: Hosts,
): Promise<boolean | null> {
  const redirect = async (location: string) => {
    await connection.send(head(307, { location, "content-length": 0 }))
    return true
  }
  const status = async (code: number, headers: Readonly<Record<string, string | number>> = {}) => {
    await connection.send(head(code, { "content-length": 0, ...headers }))
    return true
  }
  const isBlob = request.path.includes("/blobs/")
  switch (planned?.fault) {
    case "500":
    case "502":
    case "503":
    case "504":
    case "404":
      return await status(Number(planned.fault))
    case "429-seconds":
      return await status(429, { "retry-after": planned.place < 0.05 ? 1 : 0 })
    case "429-date":
      return await status(429, {
        "retry-after": new Date(Date.now() + (planned.place < 0.05 ? 1000 : -1000)).toUTCString(),
      })
    case "429-absurd":
      return await status(429, { "retry-after": "99999999999999999999" })
    case "401":
      tokens.delete(tokenOf(request))
      return await challengeAt(connection, request)
    case "416":
      return await status(416, { "content-range": `bytes */${content.size}` })
    case "redirect":
      return isBlob ? await redirect(`http://127.0.0.1:${storage.port}/${content.digest}?signature=x`) : null
    case "403-signed-url":
      return isBlob ? await redirect(`http://127.0.0.1:${storage.port}/${content.digest}?expired=1`) : null
    case "redirect-loop":
      return await redirect(request.path)
    case "redirect-elsewhere":
      return await redirect(`http://127.0.0.1:${elsewhere.port}/anything`)
    case "redirect-to-file":
      return await redirect("file:///etc/hostname")
    default:
      return null
  }
}

/** Sends content, or what the fault makes of it. */
async function sendContent({ request, connection, content, planned, record, universe }: Answering): Promise<boolean> {
  const isBlob = universe.blobs.has(content.digest)
  const seen = isBlob ? blobRecord(record, content.digest) : null
  if (seen !== null) {
    seen.requests += 1
    seen.faults += planned === null ? 0 : 1
    if (planned === null) seen.live += 1
    seen.peak = Math.max(seen.peak, seen.live)
  }
  const sent = (bytes: number) => {
    if (seen !== null) seen.bytes += bytes
  }
  try {
    const body: Body = {
      content: poisoned(content, universe),
      other: otherBlob(content, universe),
      planned,
      silenceMs: SILENCE_MS,
      sent,
    }
    return await sendBody(request, connection, body)
  } finally {
    if (seen !== null && planned === null) seen.live -= 1
  }
}

function blobRecord(record: UpstreamRecord, digest: string) {
  const known = record.blobs.get(digest) ?? { bytes: 0, requests: 0, faults: 0, live: 0, peak: 0 }
  record.blobs.set(digest, known)
  return known
}

/** A poisoned blob is wrong in one bit, always the same. */
function poisoned(content: Content, universe: Universe): Content {
  if (universe.blobs.get(content.digest)?.isPoisoned !== true) return content
  const bytes = content.bytes.slice()
  const place = hash(content.digest) % bytes.byteLength
  bytes[place] = (bytes[place] ?? 0) ^ 1
  return { ...content, bytes }
}

/** Another blob, for an upstream that mixes them up. */
function otherBlob(content: Content, { names }: Universe): Content {
  const place = hash(content.digest, "other")
  const layers =
    names[place % names.length]?.layers.filter(({ digest, size }) => digest !== content.digest && size > 0) ?? []
  return layers[place % layers.length] ?? content
}

function noteLeak({ headers }: RawRequest, record: UpstreamRecord): void {
  const authorization = headers.get("authorization")
  if (authorization !== undefined) record.leaks.push(authorization)
}

async function refuse(connection: RawConnection, status: number): Promise<boolean> {
  await connection.send(`${head(status, { "content-type": "text/plain", "content-length": 3 })}no\n`)
  return true
}

async function giveToken(
  request: RawRequest,
  connection: RawConnection,
  universe: Universe,
  tokens: Map<string, number>,
): Promise<boolean> {
  const expected = `Basic ${Buffer.from(`${universe.username}:${universe.password}`).toString("base64")}`
  if (request.headers.get("authorization") !== expected) return await refuse(connection, 401)
  const token = `canary-token-${randomUUID()}`
  tokens.set(token, TOKEN_USES)
  const body = JSON.stringify({ token, expires_in: 300 })
  await connection.send(`${head(200, { "content-type": "application/json", "content-length": body.length })}${body}`)
  return true
}

/** A token is good for a number of requests, then it has expired. */
function takeToken(request: RawRequest, tokens: Map<string, number>): boolean {
  const token = tokenOf(request)
  const left = tokens.get(token) ?? 0
  if (left > 0) tokens.set(token, left - 1)
  return left > 0
}

const tokenOf = ({ headers }: RawRequest): string => headers.get("authorization")?.replace(/^Bearer /, "") ?? ""

async function challenge(connection: RawConnection, port: number): Promise<boolean> {
  const realm = `Bearer realm="http://127.0.0.1:${port}/token",service="chaos"`
  await connection.send(head(401, { "www-authenticate": realm, "content-length": 0 }))
  return true
}

const challengeAt = async (connection: RawConnection, { headers }: RawRequest): Promise<boolean> =>
  await challenge(connection, Number(headers.get("host")?.split(":")[1]))
