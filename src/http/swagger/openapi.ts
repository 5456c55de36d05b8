import type { ElysiaSwaggerConfig } from "@elysiajs/swagger"
import { STATUS } from "../../oci/error.ts"

type Documentation = NonNullable<ElysiaSwaggerConfig["documentation"]>
export type Paths = NonNullable<Documentation["paths"]>
export type Operation = NonNullable<NonNullable<Paths[string]>["get"]>
export type Schema = NonNullable<NonNullable<Documentation["components"]>["schemas"]>[string]

/** What the document of one port says. */
export interface PortDocumentation {
  readonly title: string
  readonly description: string
  readonly paths: Paths
  readonly components: NonNullable<Documentation["components"]>
}

export const TEXT = { type: "string" as const }
export const WHOLE = { type: "integer" as const, minimum: 0 }
export const DIGEST_TEXT = { ...TEXT, pattern: "^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$" }

export const header = (description: string, schema: Schema = TEXT) => ({ description, schema })
export type Headers = Readonly<Record<string, ReturnType<typeof header>>>

export const parameter = (
  name: string,
  place: "path" | "query" | "header",
  description: string,
  schema: Schema = TEXT,
) => ({ name, in: place, required: place === "path", description, schema })

export const RANGE = parameter("Range", "header", "One range of bytes; several are answered with the whole content.")
export const IF_RANGE = parameter("If-Range", "header", "ETag; where it is another one, the whole content is given.")
export const IF_NONE_MATCH = parameter("If-None-Match", "header", "ETag that the client has.")

export const CACHE = { "Cache-Control": header("How long the answer may be kept.") }
/** Of content that is named by its digest, as it is told in a 304 too. */
export const UNCHANGED = {
  ...CACHE,
  ETag: header("Digest of the content, in quotes."),
  "Accept-Ranges": header("Ranges of bytes can be asked for."),
}
export const RETRY = { "Retry-After": header("Seconds after which to try again.", { ...WHOLE, minimum: 1 }) }
export const LENGTH = { "Content-Length": header("Bytes.", WHOLE) }
export const PART = { "Content-Range": header("Which part.") }

/** Bytes, of whatever type the content has. */
export const BYTES = { "*/*": { schema: { ...TEXT, format: "binary" } } }
export const OBJECT = { schema: { type: "object" as const } }

/** A read, and the same without its body. */
export const readPath = (name: string, operation: Operation): Paths[string] => ({
  get: { ...operation, operationId: `get${name}` },
  head: { ...operation, operationId: `head${name}`, summary: `${operation.summary} (headers only)` },
})

/** An error as the registry tells it. */
export const failure = (description: string, headers: Headers = {}) => ({
  description,
  headers: { ...CACHE, ...LENGTH, ...headers },
  content: { "application/json": { schema: { $ref: "#/components/schemas/Errors" } } },
})

export const ERRORS = {
  type: "object" as const,
  required: ["errors"],
  properties: {
    errors: {
      type: "array" as const,
      items: {
        type: "object" as const,
        required: ["code", "message"],
        properties: {
          code: { ...TEXT, enum: Object.keys(STATUS), example: "BLOB_UNKNOWN" },
          message: { ...TEXT, description: "What failed, on what, why, and what to do." },
          detail: { ...TEXT, description: "A word for machines, where the code says too little." },
        },
      },
    },
  },
}
