import { specToBase64 } from "../spec/encoded.ts"
import { imageSpecSchema } from "../spec/schema.ts"
import { readArguments } from "./args.ts"
import { type Command, UsageError } from "./io.ts"

const OPTIONS = {
  "base-ref": { type: "string", default: "docker.io/library/ubuntu:latest" },
  "ide-ref": { type: "string", default: "" },
  "supervisor-ref": { type: "string", default: "" },
  layer: { type: "string", multiple: true, default: [] as string[] },
  base64: { type: "boolean", default: false },
} as const

/** Prints an ImageSpec to begin with. */
export const createSpec: Command = async (args, { out }) => {
  const { values } = readArguments(args, OPTIONS, [])
  const layers = values.layer.map(readLayer)
  if (values.base64 && layers.length > 0) throw new UsageError("--base64 has no place for --layer")
  const references = {
    baseRef: values["base-ref"],
    ...(values["ide-ref"] === "" ? {} : { ideRef: values["ide-ref"] }),
    ...(values["supervisor-ref"] === "" ? {} : { supervisorRef: values["supervisor-ref"] }),
  }
  const spec = layers.length === 0 ? references : { ...references, layers }
  out(values.base64 ? `${specToBase64(references)}\n` : `${JSON.stringify(spec, null, 2)}\n`)
  return 0
}

const KINDS = Object.keys(imageSpecSchema.properties.layers.items.properties)

/** `image=REF`, `file=PATH`, `dir=PATH[:DEST]`, `url=URL@DIGEST`; a plain text is an image. */
function readLayer(text: string): Readonly<Record<string, string>> {
  const [, kind, value = ""] = /^([a-z]+)=(.*)$/s.exec(text) ?? []
  if (kind === undefined) return { image: text }
  if (value === "" || !KINDS.includes(kind))
    throw new UsageError(`cannot read layer ${JSON.stringify(text)}, expected image=, file=, dir= or url=`)
  if (kind === "dir") {
    const [dir = "", dest] = value.split(":")
    return dest === undefined ? { dir } : { dir, dest }
  }
  if (kind !== "url") return { [kind]: value }
  const at = value.lastIndexOf("@sha")
  if (at === -1) throw new UsageError("a url layer needs its digest: url=https://host/layer.tar@sha256:...")
  return { url: value.slice(0, at), digest: value.slice(at + 1) }
}
