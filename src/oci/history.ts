import type { ImageConfig } from "./config.ts"
import { asItems, asObject, asString, getMember } from "./json.ts"

/** How each layer was made, in the order of layers, as far as the config tells (image-spec: config.md, "history"). */
export function layerHistory({ diffIDs, json }: ImageConfig): readonly (string | null)[] {
  const made = asItems(getMember(json, "history"))
    .map(asObject)
    .filter((entry) => {
      const isEmpty = getMember(entry, "empty_layer")
      return !(isEmpty?.kind === "scalar" && isEmpty.value === true)
    })
    .map((entry) => asString(getMember(entry, "created_by")))
  return diffIDs.map((_, at) => (made.length === diffIDs.length ? (made[at] ?? null) : null))
}
