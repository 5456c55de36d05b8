import type { BaseImage } from "../../src/compose/compose.ts"
import type { ConfigEdit, Layer } from "../../src/layer/layer.ts"
import { parseConfig } from "../../src/oci/config.ts"
import { digestOf, uncompressedDiffID } from "../../src/oci/digest.ts"
import { manifestBlob, parseManifest } from "../../src/oci/manifest.ts"
import { DOCKER_CONFIG, DOCKER_LAYER, DOCKER_MANIFEST, OCI_CONFIG, OCI_LAYER, OCI_MANIFEST } from "./images.ts"

export const NO_EDIT: ConfigEdit = { env: [], entrypoint: [], cmd: [], user: "", workingDir: "", labels: {} }

export interface BaseOptions {
  readonly family?: "oci" | "docker"
  /** As JSON texts, because objects would lose what has to survive; members of the default ones that they replace. */
  readonly manifest?: string
  readonly config?: string
  readonly layers?: number
}

/** A base with `layers` layers; `manifest` and `config` are merged into its documents as they are written. */
export function baseImage({ family = "oci", manifest = "", config = "", layers = 1 }: BaseOptions = {}): BaseImage {
  const indexes = [...Array(layers).keys()]
  const diffIDs = indexes.map((index) => digestOf(`base tar ${index}`))
  const configText = merged(
    { architecture: "amd64", os: "linux", rootfs: { type: "layers", diff_ids: diffIDs } },
    config,
  )
  const configBytes = new TextEncoder().encode(configText)
  const descriptors = indexes.map((index) => ({
    mediaType: family === "oci" ? `${OCI_LAYER}+gzip` : DOCKER_LAYER,
    digest: digestOf(`base layer ${index}`),
    size: 100 + index,
  }))
  const manifestType = family === "oci" ? OCI_MANIFEST : DOCKER_MANIFEST
  const configType = family === "oci" ? OCI_CONFIG : DOCKER_CONFIG
  const manifestText = merged(
    {
      schemaVersion: 2,
      mediaType: manifestType,
      config: { mediaType: configType, digest: digestOf(configBytes), size: configBytes.byteLength },
      layers: descriptors,
    },
    manifest,
  )
  const parsed = parseManifest(manifestBlob(new TextEncoder().encode(manifestText), manifestType))
  if (parsed.kind !== "manifest") throw new Error("The base is no image")
  return { manifest: parsed, config: parseConfig(configBytes) }
}

/** Members of `text` replace those of the same name, and keep their spelling. */
function merged(defaults: Readonly<Record<string, unknown>>, text: string): string {
  const own = text === "" ? {} : (JSON.parse(`{${text}}`) as object)
  const kept = Object.entries(defaults).filter(([key]) => !Object.hasOwn(own, key))
  const members = kept.map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`)
  return `{${[...members, ...(text === "" ? [] : [text])].join(",")}}`
}

/** A layer that is added, by the compression of its bytes. */
export function addedLayer(name: string, mediaType = `${OCI_LAYER}+gzip`): Layer {
  return {
    descriptor: { mediaType, digest: digestOf(`layer ${name}`), size: 10 },
    diffID: uncompressedDiffID(digestOf(`tar ${name}`)),
    createdBy: `registry-facade: ${name}`,
    sources: [],
    from: null,
  }
}
