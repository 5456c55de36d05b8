import { type DiffID, parseDiffID } from "./digest.ts"
import { asItems, asObject, asString, getMember, type JsonObject, parseJson } from "./json.ts"
import type { Platform } from "./platform.ts"

/** The parts of an image's configuration that composing reads (image-spec: config.md). */
export interface ImageConfig {
  readonly json: JsonObject
  readonly platform: Platform
  readonly diffIDs: readonly DiffID[]
  /** As written; null when absent. */
  readonly created: string | null
  /** `NAME=value`, in order, as written. */
  readonly env: readonly string[]
  readonly labels: Readonly<Record<string, string>>
}

/** Clients refuse larger ones (containers/image). */
export const MAX_CONFIG_BYTES = 4 * 1024 * 1024

/** Throws TypeError or SyntaxError for what is no image configuration. */
export function parseConfig(bytes: Uint8Array): ImageConfig {
  const json = asObject(parseJson(bytes))
  if (json === null) throw new TypeError("expected a JSON object")
  const os = asString(getMember(json, "os"))
  const architecture = asString(getMember(json, "architecture"))
  if (os === null || architecture === null) throw new TypeError("it does not tell its os and architecture")
  const variant = asString(getMember(json, "variant"))
  const settings = asObject(getMember(json, "config"))
  return {
    json,
    platform: { os, architecture, ...(variant === null || variant === "" ? {} : { variant }) },
    diffIDs: readDiffIDs(asObject(getMember(json, "rootfs"))),
    created: asString(getMember(json, "created")),
    env: asItems(getMember(settings, "Env")).map((item) => asString(item) ?? ""),
    labels: readLabels(asObject(getMember(settings, "Labels"))),
  }
}

function readDiffIDs(rootfs: JsonObject | null): readonly DiffID[] {
  const type = asString(getMember(rootfs, "type"))
  if (type !== "layers") throw new TypeError(`its rootfs.type is ${JSON.stringify(type)}, expected "layers"`)
  return asItems(getMember(rootfs, "diff_ids")).map((item) => parseDiffID(asString(item) ?? ""))
}

function readLabels(labels: JsonObject | null): Readonly<Record<string, string>> {
  const entries = labels?.members.map(({ key, value }) => [key, asString(value) ?? ""] as const) ?? []
  return Object.fromEntries(entries)
}
