import type { Environment } from "./sharing.ts"

/** What the environment says of a collector, by the names of OpenTelemetry's specification of exporters. */
export interface OtlpEnvironment {
  /** Where batches of spans are posted; null: it names none that can be used. */
  readonly endpoint: URL | null
  /** Sent with every batch; their values may be secrets. */
  readonly headers: Readonly<Record<string, string>>
  readonly isDisabled: boolean
  /** What of it cannot be used. */
  readonly problems: readonly string[]
}

export function readOtlp(env: Environment): OtlpEnvironment {
  const problems: string[] = []
  const isDisabled = env["OTEL_SDK_DISABLED"]?.trim().toLowerCase() === "true"
  const [protocolName, protocol] = first(env, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
  const endpoint = readEndpoint(env, problems)
  const isSpoken = protocol !== "grpc"
  if (endpoint !== null && !isSpoken) problems.push(`${protocolName} is grpc, and spans are sent over HTTP alone`)
  const headers = readHeaders(env, problems)
  return { endpoint: isSpoken ? endpoint : null, headers, isDisabled, problems }
}

/** The first that is not empty: for traces alone, or for everything. */
const first = (env: Environment, ...names: readonly string[]): readonly [string, string] => {
  const name = names.find((candidate) => (env[candidate] ?? "").trim() !== "")
  return name === undefined ? ["", ""] : [name, (env[name] ?? "").trim()]
}

/** A URL for traces is used as it is written, one for everything has their path added. */
function readEndpoint(env: Environment, problems: string[]): URL | null {
  const [own, all] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"]
  const [name, text] = first(env, own, all)
  if (text === "") return null
  const url = URL.parse(name === own ? text : `${text.replace(/\/+$/, "")}/v1/traces`)
  if (url !== null && ["http:", "https:"].includes(url.protocol)) return url
  problems.push(`${name} is no http or https URL`)
  return null
}

const NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/

/** `name=value,...` with percent-encoding, as in W3C Baggage, without its properties. */
function readHeaders(env: Environment, problems: string[]): Readonly<Record<string, string>> {
  const [variable, text] = first(env, "OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS")
  const headers: Record<string, string> = {}
  for (const [index, pair] of text.split(",").entries()) {
    if (pair.trim() === "") continue
    const equals = pair.indexOf("=")
    const name = decoded(pair.slice(0, Math.max(equals, 0)).trim())
    const value = decoded(pair.slice(equals + 1).trim())
    if (name !== null && value !== null && NAME.test(name) && isHeaderValue(value)) headers[name.toLowerCase()] = value
    else problems.push(`${variable} has no usable header at place ${index + 1}, expected name=value`)
  }
  return headers
}

function decoded(text: string): string | null {
  try {
    return decodeURIComponent(text)
  } catch {
    return null
  }
}

/** Line breaks would end the header. */
const isHeaderValue = (text: string): boolean => /^[\t\x20-\x7e\x80-\xff]*$/.test(text)
