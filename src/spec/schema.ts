import { type Static, type TProperties, Type } from "@sinclair/typebox"

const closed = <Properties extends TProperties>(properties: Properties) =>
  Type.Object(properties, { additionalProperties: false })
const text = () => Type.Optional(Type.String())
const texts = () => Type.Optional(Type.Array(Type.String()))
const map = () => Type.Optional(Type.Record(Type.String(), Type.String()))
/** protobuf's JSON writes 64 bit numbers as strings. */
const size = () =>
  Type.Optional(
    Type.Union(
      [Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }), Type.String({ pattern: "^\\d{1,16}$" })],
      {
        expected: "a number of bytes",
      },
    ),
  )

const remote = closed({ url: text(), digest: text(), diffId: text(), mediaType: text(), size: size() })
const direct = closed({ content: text() })
const contentLayer = closed({ remote: Type.Optional(remote), direct: Type.Optional(direct) })
const layer = closed({
  image: text(),
  file: text(),
  dir: text(),
  dest: text(),
  url: text(),
  digest: text(),
  diffId: text(),
  mediaType: text(),
  size: size(),
  files: Type.Optional(Type.Record(Type.String(), Type.String())),
})
const env = closed({ set: map(), default: map(), prependPath: map(), appendPath: map(), unset: texts() })
const config = closed({
  env: Type.Optional(env),
  entrypoint: texts(),
  cmd: texts(),
  user: text(),
  workingDir: text(),
  labels: map(),
})

/** An ImageSpec as JSON; see `docs/specs.md`. Every key may also be written in snake_case. */
export const imageSpecSchema = closed({
  baseRef: text(),
  ideRef: text(),
  supervisorRef: text(),
  ideLayerRef: texts(),
  contentLayer: Type.Optional(Type.Array(contentLayer)),
  layers: Type.Optional(Type.Array(layer)),
  config: Type.Optional(config),
  annotations: map(),
  platforms: texts(),
})

export const imageSpecsSchema = Type.Record(Type.String(), imageSpecSchema)

export type ImageSpecFile = Static<typeof imageSpecSchema>
export type LayerFile = Static<typeof layer>
export type RemoteLayerFile = Static<typeof remote>
export type DirectLayerFile = Static<typeof direct>
export type EnvFile = Static<typeof env>
export type ConfigEditFile = Static<typeof config>
