import { normalize, resolve } from "node:path"
import type { ConfigEdit, EnvEdit, LayerRequest, PlacedRequest, UrlLayerRequest } from "../layer/layer.ts"
import { decodeBase64 } from "../lib/base64.ts"
import { formatJsonPath, type JsonPath } from "../lib/json-text.ts"
import { redactUrl } from "../lib/redact.ts"
import { findProblems, type Problem } from "../lib/validate.ts"
import { digestOf, parseDiffID, parseDigest } from "../oci/digest.ts"
import { isMediaType } from "../oci/media-type.ts"
import { parsePlatform } from "../oci/platform.ts"
import { type ImageReference, parseReference } from "../oci/reference.ts"
import { normalizeKeys } from "./normalize.ts"
import {
  type ConfigEditFile,
  type DirectLayerFile,
  type EnvFile,
  type ImageSpecFile,
  imageSpecSchema,
  type LayerFile,
  type RemoteLayerFile,
} from "./schema.ts"
import type { ImageSpec } from "./spec.ts"

/** Problems that a message tells, and characters of each. */
const MAX_SHOWN = 20
const MAX_TEXT = 500

const shortened = (text: string): string => (text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}...` : text)

/** A spec that cannot be used, with everything that is wrong with it. */
export class SpecError extends Error {
  override readonly name = "SpecError"
  readonly problems: readonly Problem[]

  constructor(problems: readonly Problem[]) {
    const lines = problems.slice(0, MAX_SHOWN).map(({ path, message }) => `${path.join(".") || "spec"}: ${message}`)
    const more = problems.length > MAX_SHOWN ? [`and ${problems.length - MAX_SHOWN} more`] : []
    super([...lines.map(shortened), ...more].join("; "))
    this.problems = problems
  }
}

/**
 * Parses an ImageSpec. Relative paths are taken from `dir`; null is for specs that come from elsewhere: they are marked
 * as remote, and refused if they name anything on this machine's disk. Throws SpecError.
 */
export function parseSpec(value: unknown, dir: string | null): ImageSpec {
  const normal = normalizeKeys(imageSpecSchema, value)
  const problems = findProblems(imageSpecSchema, normal)
  if (problems.length > 0) throw new SpecError(problems)
  return new SpecParser(dir).parse(normal as ImageSpecFile) // the schema has just been checked
}

/** More than any runtime unpacks, and more than there are: what others write must not keep us busy. */
const MAX_LAYERS = 500
const MAX_PLATFORMS = 64
/** Of variables, labels, annotations and files. */
const MAX_ENTRIES = 100_000
/** No system takes longer ones. */
const MAX_PATH = 4096

/** Collects problems while it parses, so that people see all of them at once. */
class SpecParser {
  readonly #dir: string | null
  readonly #problems: Problem[] = []

  constructor(dir: string | null) {
    this.#dir = dir
  }

  parse(file: ImageSpecFile): ImageSpec {
    const spec: ImageSpec = {
      base: this.#at(["baseRef"], () => this.#reference(file.baseRef ?? "")) ?? { kind: "scratch" },
      baseText: file.baseRef ?? "",
      layers: [
        ...this.#originalImages(file),
        ...this.#layers(file.layers ?? []),
        ...this.#contentLayers(file.contentLayer ?? []),
      ],
      edit: this.#at(["config", "env"], () => toConfigEdit(file.config ?? {})) ?? toConfigEdit({}),
      annotations: file.annotations ?? {},
      platforms: this.#platforms(file.platforms ?? []),
      trust: this.#dir === null ? "remote" : "operator",
      key: digestOf(JSON.stringify([this.#dir, file])),
    }
    if (spec.layers.length > MAX_LAYERS)
      this.#problems.push({ path: [], message: `has ${spec.layers.length} layers, the limit is ${MAX_LAYERS}` })
    const entries = countEntries(file)
    if (entries > MAX_ENTRIES)
      this.#problems.push({ path: [], message: `has ${entries} entries, the limit is ${MAX_ENTRIES}` })
    if (this.#problems.length > 0) throw new SpecError(this.#problems)
    return spec
  }

  /** Null, and a problem noted, where `read` throws. */
  #at<Value>(path: JsonPath, read: () => Value): Value | null {
    try {
      return read()
    } catch (error) {
      this.#problems.push({ path, message: error instanceof Error ? error.message : String(error) })
      return null
    }
  }

  #reference(text: string): ImageReference {
    if (text === "") throw new TypeError('is missing: expected an image reference, "oci:DIR" or "scratch"')
    const reference = parseReference(text)
    return reference.kind === "layout" ? { ...reference, dir: this.#localPath(reference.dir) } : reference
  }

  #localPath(path: string): string {
    if (this.#dir === null) throw new TypeError("a spec from a remote provider cannot use files of this machine")
    if (path === "" || path.includes("\0")) throw new TypeError("expected a path")
    return resolve(this.#dir, path)
  }

  /** As `#at`, and none where it is null; the path tells which part of the spec a layer is there for. */
  #placed(path: JsonPath, read: () => LayerRequest): readonly PlacedRequest[] {
    const request = this.#at(path, read)
    return request === null ? [] : [{ ...request, rule: `spec.${formatJsonPath(path)}` }]
  }

  #originalImages({ ideRef = "", supervisorRef = "", ideLayerRef = [] }: ImageSpecFile): readonly PlacedRequest[] {
    const named: readonly (readonly [JsonPath, string])[] = [
      [["ideRef"], ideRef],
      [["supervisorRef"], supervisorRef],
      ...ideLayerRef.map((ref, index) => [["ideLayerRef", index], ref] as const),
    ]
    return named.filter(([, ref]) => ref !== "").flatMap(([path, ref]) => this.#placed(path, () => this.#image(ref)))
  }

  #image(text: string): LayerRequest {
    const reference = this.#reference(text)
    if (reference.kind === "scratch") throw new TypeError("the empty image has no layers")
    return { kind: "image", reference, text }
  }

  #layers(layers: readonly LayerFile[]): readonly PlacedRequest[] {
    return layers.flatMap((layer, index) => this.#placed(["layers", index], () => this.#layer(layer)))
  }

  #layer(layer: LayerFile): LayerRequest {
    const { image, file, dir, files, url } = layer
    const kinds = Object.entries({ image, file, dir, files, url }).filter(([, value]) => value !== undefined)
    if (kinds.length !== 1) {
      throw new TypeError(
        `expected exactly one of "image", "file", "dir", "files" and "url", got ${kinds.map(([kind]) => kind).join(", ") || "none"}`,
      )
    }
    checkCompanions(layer, kinds[0]?.[0] ?? "")
    if (image !== undefined) return this.#image(image)
    if (file !== undefined) return { kind: "file", path: this.#localPath(file), text: file }
    if (dir !== undefined) {
      checkDest(layer.dest ?? "/")
      return { kind: "dir", path: this.#localPath(dir), dest: layer.dest ?? "/", text: dirText(dir, layer.dest) }
    }
    if (files !== undefined) return filesLayer(files)
    return urlLayer(layer)
  }

  #contentLayers(layers: NonNullable<ImageSpecFile["contentLayer"]>): readonly PlacedRequest[] {
    return layers.flatMap(({ remote, direct }, index) => {
      const read = () => {
        if (remote !== undefined && direct === undefined) return urlLayer(remote)
        if (direct !== undefined && remote === undefined) return directLayer(direct)
        throw new TypeError('expected either "remote" or "direct"')
      }
      return this.#placed(["contentLayer", index], read)
    })
  }

  #platforms(platforms: readonly string[]): ImageSpec["platforms"] {
    if (platforms.length > MAX_PLATFORMS) {
      this.#problems.push({ path: ["platforms"], message: `has more than ${MAX_PLATFORMS}` })
      return null
    }
    const parsed = platforms.flatMap((text, index) => this.#at(["platforms", index], () => parsePlatform(text)) ?? [])
    return platforms.length === 0 ? null : parsed
  }
}

const COMPANIONS: Readonly<Record<string, readonly string[]>> = {
  dir: ["dest"],
  url: ["digest", "diffId", "mediaType", "size"],
}

/** A wish that would be ignored is a mistake. */
function checkCompanions(layer: LayerFile, kind: string): void {
  const known = [kind, ...(COMPANIONS[kind] ?? [])]
  const odd = Object.keys(layer).find((key) => !known.includes(key))
  if (odd !== undefined) throw new TypeError(`"${odd}" means nothing beside "${kind}"`)
}

const dirText = (dir: string, dest: string | undefined): string => (dest === undefined ? dir : `${dir} to ${dest}`)

function filesLayer(files: Readonly<Record<string, string>>): LayerRequest {
  const paths = Object.keys(files)
  if (paths.length === 0) throw new TypeError('"files" is empty')
  for (const path of paths) checkImagePath(path)
  const relative = new Set(paths.map((path) => path.replace(/^\/+/, "")))
  if (relative.size !== paths.length) throw new TypeError('"files" has the same path twice')
  const sorted = [...relative].map((path) => `${path}/`).toSorted() // what is below a path comes right behind it
  const parent = sorted.find((path, index) => sorted[index + 1]?.startsWith(path))
  if (parent !== undefined)
    throw new TypeError(`${JSON.stringify(parent.slice(0, -1))} is a file and a directory at once`)
  return { kind: "files", files: new Map(Object.entries(files)), text: paths.toSorted().join(" ") }
}

/** Without detours, so that it means the same to everyone who unpacks. */
const isPlainPath = (path: string): boolean =>
  normalize(path) === path && !/^\.{0,2}$|^\.\.\/|\/$/.test(path) && !path.includes("\0")

function checkLength(path: string): void {
  if (path.length > MAX_PATH) throw new TypeError(`a path has ${path.length} characters, the limit is ${MAX_PATH}`)
}

function checkImagePath(path: string): void {
  checkLength(path)
  if (isPlainPath(path)) return
  throw new TypeError(`${JSON.stringify(path)} is no path of a file, expected one like "/etc/motd"`)
}

function checkDest(dest: string): void {
  checkLength(dest)
  const path = dest.replace(/\/+$/, "")
  if (path === "" || isPlainPath(path)) return
  throw new TypeError(`"dest" is ${JSON.stringify(dest)}, expected a path like "/opt/tool"`)
}

function urlLayer({ url = "", digest = "", diffId = "", mediaType = "", size }: RemoteLayerFile): UrlLayerRequest {
  const parsed = URL.parse(url)
  if (parsed === null || (parsed.protocol !== "http:" && parsed.protocol !== "https:"))
    throw new TypeError('"url" must be an http or https URL')
  if (mediaType !== "" && !isMediaType(mediaType))
    throw new TypeError(`"mediaType" is ${JSON.stringify(mediaType)}, which is no media type`)
  const bytes = Number(size ?? 0)
  if (!Number.isSafeInteger(bytes)) throw new TypeError(`"size" is ${size}, which no layer has`)
  return {
    kind: "url",
    url: parsed,
    digest: parseDigest(digest),
    diffID: diffId === "" ? null : parseDiffID(diffId),
    mediaType: mediaType === "" ? null : mediaType,
    size: bytes === 0 ? null : bytes,
    text: `url ${redactUrl(parsed)}`,
  }
}

function directLayer({ content = "" }: DirectLayerFile): LayerRequest {
  const bytes = decodeBase64(content)
  if (bytes === null) throw new TypeError('"content" is not base64')
  return { kind: "direct", content: bytes, text: "content" }
}

/** The order is fixed, so that a spec means the same however it is written. */
function toConfigEdit({
  env = {},
  entrypoint = [],
  cmd = [],
  user = "",
  workingDir = "",
  labels = {},
}: ConfigEditFile): ConfigEdit {
  return { env: toEnvEdits(env), entrypoint, cmd, user, workingDir, labels }
}

function countEntries({ annotations, config, layers = [] }: ImageSpecFile): number {
  const { default: defaults, set, unset, prependPath, appendPath } = config?.env ?? {}
  const lists = [config?.entrypoint, config?.cmd, unset]
  const maps = [
    annotations,
    config?.labels,
    set,
    defaults,
    prependPath,
    appendPath,
    ...layers.map(({ files }) => files),
  ]
  return [...lists, ...maps].reduce((sum, held) => sum + Object.keys(held ?? {}).length, 0)
}

function toEnvEdits({
  unset = [],
  set = {},
  default: defaults = {},
  prependPath = {},
  appendPath = {},
}: EnvFile): readonly EnvEdit[] {
  const path = (op: "before" | "after", values: Readonly<Record<string, string>>) =>
    Object.entries(values).map(([name, value]): EnvEdit => ({ op, name, value, separator: ":" }))
  const names = [unset, ...[set, defaults, prependPath, appendPath].map(Object.keys)].flat()
  const wrong = names.find((name) => name === "" || /[=\0]/.test(name))
  if (wrong !== undefined) throw new TypeError(`${JSON.stringify(wrong)} is no name of a variable`)
  return [
    ...unset.map((name): EnvEdit => ({ op: "unset", name })),
    ...Object.entries(set).map(([name, value]): EnvEdit => ({ op: "set", name, value })),
    ...Object.entries(defaults).map(([name, value]): EnvEdit => ({ op: "default", name, value })),
    ...path("before", prependPath),
    ...path("after", appendPath),
  ]
}
