import { readFile } from "node:fs/promises"
import { dirname, isAbsolute, join, resolve } from "node:path"
import { parseDuration } from "../lib/duration.ts"
import { type JsonText, parseJsonText } from "../lib/json-text.ts"
import { DocumentError, findProblems, type Problem } from "../lib/validate.ts"
import { hostPlatform, type Platform, parsePlatform } from "../oci/platform.ts"
import { canonicalHost } from "../oci/reference.ts"
import { type BlobserveConfig, storeOf, toBlobserve } from "./blobserve.ts"
import { checkMeaning } from "./check.ts"
import { explainFormerKeys } from "./former-keys.ts"
import { readOtlp } from "./otlp.ts"
import {
  type ConfigFile,
  configSchema,
  type RegistrySection,
  type SpecProviderSection,
  type StaticLayerSection,
  type UpstreamSection,
} from "./schema.ts"
import { type Environment, type SharingConfig, toSharing } from "./sharing.ts"
import { type TimeoutsConfig, toTimeouts } from "./timeouts.ts"

/** The configuration as the program uses it: defaults filled in, durations in milliseconds, paths absolute. */
export interface Config {
  readonly file: string
  /** As it is written, for telling what a change of the file has changed. */
  readonly written: ConfigFile
  readonly pprofAddr: string | null
  readonly prometheusAddr: string | null
  readonly readinessProbeAddr: string | null
  readonly tracing: TracingConfig
  readonly shutdownDelayMs: number
  readonly shutdownGraceMs: number
  readonly registry: RegistryConfig | null
  /** Where the registry is served without TLS, too, to look for faults; null: nowhere. */
  readonly noTlsDebugAddr: string | null
  readonly blobserve: BlobserveConfig | null
  /** In place of a registry's settings, where files are served without one. */
  readonly alone: RegistryConfig
}

export interface TracingConfig {
  /** Where batches of spans are posted; null: nowhere. */
  readonly endpoint: URL | null
  /** Sent with them; their values may be secrets. */
  readonly headers: Readonly<Record<string, string>>
  /** From 0 to 1. */
  readonly sampleRatio: number
  /** What the environment says that cannot be used. */
  readonly problems: readonly string[]
}

export interface RegistryConfig {
  readonly host: string
  readonly port: number
  /** "" or "/path". */
  readonly prefix: string
  readonly store: string | null
  readonly storeMaxSizeBytes: number
  readonly storeMinFreeBytes: number
  readonly staticLayers: readonly StaticLayerConfig[]
  readonly specProviders: readonly SpecProviderConfig[]
  readonly fixedSpecs: string | null
  readonly tagTtlMs: number
  readonly staleIfErrorMs: number
  readonly sharing: SharingConfig
  /** Patterns of repositories; null allows all. */
  readonly allowedUpstreams: readonly string[] | null
  readonly defaultPlatform: Platform
  readonly upstreams: ReadonlyMap<string, UpstreamConfig>
  /** Null: plain HTTP. */
  readonly tls: TlsConfig | null
  /** Null: everybody may pull. */
  readonly auth: AuthConfig | null
  /** Docker's config.json. */
  readonly dockerAuth: string | null
  readonly timeouts: TimeoutsConfig
}

export interface AuthConfig {
  readonly htpasswd: string
}

export interface TlsConfig {
  readonly crt: string
  readonly key: string
  /** Null: clients need no certificate. */
  readonly clientCA: string | null
}

export interface StaticLayerConfig {
  readonly type: StaticLayerSection["type"]
  /** An image reference, or an absolute path. */
  readonly ref: string
  /** As it is written: nodes with the same configuration in different places make the same images. */
  readonly text: string
}

export type SpecProviderConfig =
  | {
      readonly kind: "grpc"
      readonly addr: string
      readonly tls: { readonly ca: string | null; readonly crt: string | null; readonly key: string | null } | null
      readonly serverName: string | null
    }
  | { readonly kind: "http"; readonly url: string }

export interface UpstreamConfig {
  readonly plainHTTP: boolean | null
  readonly insecureSkipVerify: boolean
  readonly ca: string | null
  readonly mirrors: readonly URL[]
  /** Hosts of token servers, as URLs have them. */
  readonly realms: readonly string[]
  readonly username: string | null
  readonly passwordFile: string | null
}

/**
 * Reads and checks a configuration file. Rejects with an error whose message tells people what to correct.
 * TELEPRESENCE_ROOT stands before absolute paths of what a container mounts, as with the original: it is where the
 * files of a container are while its program runs outside.
 */
export async function loadConfig(file: string, env: Environment = process.env): Promise<Config> {
  const content = await readFile(file, "utf8").catch((cause) => {
    throw new Error(
      `Cannot read configuration ${file}: ${cause.code === "ENOENT" ? "there is no such file" : cause.message}`,
      { cause },
    )
  })
  return parseConfig(file, content, env)
}

/** As `loadConfig`, for content that was read already. */
export const parseConfig = (file: string, content: string, env: Environment = process.env): Config =>
  toConfig(resolve(file), parseFile(file, content), env)

function parseFile(file: string, content: string): ConfigFile {
  const text = parsed(file, content)
  const problems = findProblems(configSchema, text.value)
  if (problems.length > 0) throw new DocumentError(file, text, explainFormerKeys(problems))
  const value = text.value as ConfigFile // the schema has just been checked
  const meaning: readonly Problem[] = checkMeaning(value)
  if (meaning.length > 0) throw new DocumentError(file, text, meaning)
  return value
}

function parsed(file: string, content: string): JsonText {
  try {
    return parseJsonText(content)
  } catch (cause) {
    throw new Error(`${file}: ${cause instanceof Error ? cause.message : cause}`, { cause })
  }
}

function toConfig(file: string, config: ConfigFile, env: Environment): Config {
  const dir = dirname(file)
  const paths = pathsOf(dir, env)
  const { dockerAuth } = config
  const registry = config.registry === undefined ? null : toRegistry(paths, config.registry, { env, dockerAuth })
  const blobserve = config.blobserve === undefined ? null : toBlobserve(dir, config.blobserve)
  const alone = toRegistry(paths, {}, { env: {}, dockerAuth })
  return {
    file,
    noTlsDebugAddr: env["REGFAC_NO_TLS_DEBUG"] || null,
    written: config,
    pprofAddr: config.pprofAddr || null,
    prometheusAddr: config.prometheusAddr || null,
    readinessProbeAddr: config.readinessProbeAddr || null,
    tracing: toTracing(config.tracing, env),
    shutdownDelayMs: parseDuration(config.shutdown?.delay ?? "5s"),
    shutdownGraceMs: parseDuration(config.shutdown?.grace ?? "300s"),
    registry,
    blobserve,
    alone: { ...alone, ...(blobserve === null ? {} : storeOf(blobserve)) },
  }
}

/** The file stands before the environment. OTLP/HTTP adds the kind of signal to the collector's URL. */
function toTracing(
  { otlpEndpoint = "", sampleRatio = 1 }: NonNullable<ConfigFile["tracing"]> = {},
  env: Environment,
): TracingConfig {
  const { endpoint, headers, isDisabled, problems } = readOtlp(env)
  const own = otlpEndpoint === "" ? null : new URL(`${otlpEndpoint.replace(/\/+$/, "")}/v1/traces`)
  return { endpoint: isDisabled ? null : (own ?? endpoint), headers, sampleRatio, problems: isDisabled ? [] : problems }
}

/** Where images come from and are kept. */
export const imageSettings = ({ alone, registry }: Config): RegistryConfig => registry ?? alone

/** What a section depends on besides itself. */
interface Surroundings {
  readonly env: Environment
  readonly dockerAuth: string | undefined
}

interface Paths {
  /** Of the configuration file. */
  readonly dir: string
  /** An absolute path; null for what is not given. */
  readonly path: (text: string | undefined) => string | null
  /** The same for what a container mounts. */
  readonly mounted: (text: string | undefined) => string | null
}

function pathsOf(dir: string, env: Environment): Paths {
  const mountRoot = env["TELEPRESENCE_ROOT"] ?? ""
  const path = (text: string | undefined) => (text === undefined || text === "" ? null : resolve(dir, text))
  const mounted = (text: string | undefined) =>
    mountRoot !== "" && text !== undefined && isAbsolute(text) ? join(mountRoot, text) : path(text)
  return { dir, path, mounted }
}

function toRegistry(paths: Paths, section: RegistrySection, { env, dockerAuth }: Surroundings): RegistryConfig {
  const { dir, mounted, path } = paths
  const layers = section.staticLayer ?? []
  return {
    host: section.host ?? "0.0.0.0",
    port: section.port ?? 31_750,
    prefix: normalPrefix(section.prefix ?? ""),
    store: mounted(section.store),
    storeMaxSizeBytes: section.storeMaxSizeBytes ?? 0,
    storeMinFreeBytes: section.storeMinFreeBytes ?? 1_073_741_824,
    staticLayers: layers.map(({ type, ref }) => ({
      type,
      ref: type === "image" ? absoluteImage(dir, ref) : resolve(dir, ref),
      text: ref,
    })),
    specProviders: [section.remoteSpecProvider ?? []].flat().map((provider) => toSpecProvider(paths, provider)),
    fixedSpecs: path(section.fixedSpecFN),
    tagTtlMs: parseDuration(section.tagTTL ?? "60s"),
    staleIfErrorMs: parseDuration(section.staleIfError ?? "24h"),
    sharing: toSharing(dir, section, env),
    allowedUpstreams: section.allowedUpstreams ?? null,
    defaultPlatform: section.defaultPlatform === undefined ? hostPlatform() : parsePlatform(section.defaultPlatform),
    upstreams: new Map(
      Object.entries(section.upstreams ?? {}).map(([host, upstream]) => [
        canonicalHost(host),
        toUpstream(path, upstream),
      ]),
    ),
    tls: toTls(mounted, section.tls),
    auth: toAuth(path, section),
    dockerAuth: mounted(dockerAuth),
    timeouts: toTimeouts(section.timeouts),
  }
}

type ToPath = (text: string | undefined) => string | null

/** Who requires a login and names no users has been refused when the file was checked. */
function toAuth(path: ToPath, { auth, requireAuth }: RegistrySection): AuthConfig | null {
  const htpasswd = path(auth?.htpasswd)
  return requireAuth !== true || htpasswd === null ? null : { htpasswd }
}

/** Crt and key are there, or checking the file has refused it. */
function toTls(path: ToPath, tls: RegistrySection["tls"]): TlsConfig | null {
  const [crt, key] = [path(tls?.crt), path(tls?.key)]
  return crt === null || key === null ? null : { crt, key, clientCA: path(tls?.clientCA) }
}

function toSpecProvider({ mounted }: Paths, provider: SpecProviderSection): SpecProviderConfig {
  if ("url" in provider) return { kind: "http", url: provider.url }
  const { addr, serverName, tls } = provider
  const files = tls === undefined ? null : { ca: mounted(tls.ca), crt: mounted(tls.crt), key: mounted(tls.key) }
  return { kind: "grpc", addr, tls: files, serverName: serverName || null }
}

/** A tag or a digest at the end of a layout's path is not touched by resolving it. */
const absoluteImage = (dir: string, ref: string): string =>
  ref.startsWith("oci:") ? `oci:${resolve(dir, ref.slice("oci:".length))}` : ref

function toUpstream(path: ToPath, upstream: UpstreamSection): UpstreamConfig {
  return {
    plainHTTP: upstream.plainHTTP ?? null,
    insecureSkipVerify: upstream.insecureSkipVerify ?? false,
    ca: path(upstream.ca),
    mirrors: (upstream.mirrors ?? []).map((mirror) => new URL(mirror)),
    realms: (upstream.realms ?? []).map((realm) => new URL(`https://${realm}`).host),
    username: upstream.username || null,
    passwordFile: path(upstream.passwordFile),
  }
}

function normalPrefix(prefix: string): string {
  const trimmed = prefix.replace(/^\/+|\/+$/g, "")
  return trimmed === "" ? "" : `/${trimmed}`
}
