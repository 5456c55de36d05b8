import type { ConfigEdit, EnvEdit, Layer } from "../layer/layer.ts"
import type { ImageConfig } from "../oci/config.ts"
import {
  asItems,
  asObject,
  getMember,
  type Json,
  type JsonObject,
  textMembers,
  toJson,
  withMember,
  withMembers,
  withoutMembers,
} from "../oci/json.ts"
import { editEnv } from "./env.ts"

const EMPTY: JsonObject = { kind: "object", members: [] }

/** The base's configuration with layers and changes added; everything else of it survives as it was written. */
export function composeConfig(base: ImageConfig, layers: readonly Layer[], edit: ConfigEdit): JsonObject {
  const settings = asObject(getMember(base.json, "config")) ?? EMPTY
  const edited = editSettings(settings, edit)
  const isChanged = edited !== settings
  if (!isChanged && layers.length === 0) return base.json
  let json = isChanged ? withMember(base.json, "config", edited) : base.json
  json = withMember(json, "rootfs", appendDiffIDs(asObject(getMember(json, "rootfs")) ?? EMPTY, layers))
  return withMember(json, "history", appendHistory(base, layers, isChanged))
}

function appendDiffIDs(rootfs: JsonObject, layers: readonly Layer[]): JsonObject {
  const added = layers.map(({ diffID }) => toJson(diffID))
  return withMember(rootfs, "diff_ids", list([...asItems(getMember(rootfs, "diff_ids")), ...added]))
}

/**
 * One entry per added layer keeps history and layers in step for those who show them side by side. Entries that the
 * base lacks are not invented. Times are the base's: now would give every node another digest.
 */
function appendHistory({ created, json }: ImageConfig, layers: readonly Layer[], isChanged: boolean): Json {
  const stamp = created === null ? {} : { created }
  const added = layers.map(({ createdBy }) => toJson({ ...stamp, created_by: createdBy }))
  const change = isChanged ? [toJson({ ...stamp, created_by: "registry-facade: config", empty_layer: true })] : []
  return list([...asItems(getMember(json, "history")), ...added, ...change])
}

function editSettings(settings: JsonObject, edit: ConfigEdit): JsonObject {
  let edited = settings
  const set = (key: string, value: Json) => {
    edited = withMember(edited, key, value)
  }
  if (edit.env.length > 0) edited = editEnvironment(edited, edit.env)
  if (edit.entrypoint.length > 0) edited = editEntrypoint(edited, edit.entrypoint)
  if (edit.cmd.length > 0) set("Cmd", toJson(edit.cmd))
  if (edit.user !== "") set("User", toJson(edit.user))
  if (edit.workingDir !== "") set("WorkingDir", toJson(edit.workingDir))
  if (Object.keys(edit.labels).length > 0)
    set("Labels", editLabels(asObject(getMember(edited, "Labels")) ?? EMPTY, edit.labels))
  return edited
}

function editEnvironment(settings: JsonObject, edits: readonly EnvEdit[]): JsonObject {
  const before = asItems(getMember(settings, "Env"))
  const after = editEnv(before, edits)
  const isSame = after.length === before.length && after.every((item, index) => item === before[index])
  return isSame ? settings : withMember(settings, "Env", list(after))
}

function editEntrypoint(settings: JsonObject, entrypoint: readonly string[]): JsonObject {
  const isRemoved = entrypoint.length === 1 && entrypoint[0] === ""
  const without = withoutMembers(settings, "Cmd")
  return isRemoved ? withoutMembers(settings, "Entrypoint") : withMember(without, "Entrypoint", toJson(entrypoint))
}

function editLabels(labels: JsonObject, edits: Readonly<Record<string, string>>): JsonObject {
  return withMembers(labels, textMembers(edits))
}

const list = (items: readonly Json[]): Json => ({ kind: "array", items })
