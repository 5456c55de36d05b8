import type { ElysiaSwaggerConfig } from "@elysiajs/swagger"

type Documentation = NonNullable<ElysiaSwaggerConfig["documentation"]>
type Paths = NonNullable<Documentation["paths"]>
type Operation = NonNullable<NonNullable<Paths[string]>["get"]>

const header = (description: string) => ({ description, schema: { type: "string" as const } })
const parameter = (name: string, place: "path" | "query" | "header", description: string) => ({
  name,
  in: place,
  required: place === "path",
  description,
  schema: { type: "string" as const },
})

const NAME = parameter("name", "path", "Repository: <provider>/<name>, for example fixed/hello. May hold slashes.")
const DIGEST = parameter("digest", "path", "Digest, for example sha256:<64 hexadecimal characters>.")
const ACCEPT = parameter(
  "Accept",
  "header",
  "Without an index type, the manifest of the default platform is given instead of the index.",
)
const RANGE = parameter("Range", "header", "One range of bytes; several are answered with the whole blob.")
const IF_NONE_MATCH = parameter("If-None-Match", "header", "ETag that the client has.")

const CONTENT_HEADERS = {
  "Docker-Content-Digest": header("Digest of the content."),
  ETag: header("The digest, in quotes."),
  "Content-Length": header("Bytes."),
}

const failure = (description: string) => ({
  description,
  content: { "application/json": { schema: { $ref: "#/components/schemas/Errors" } } },
})
const NOT_FOUND = failure("The name, tag or digest is unknown, or not readable under this name.")
const INVALID = failure("The name or the digest is malformed.")
/** Of upstreams, for whatever needs one. */
const UPSTREAM_FAILURES = {
  403: failure("An upstream refuses its credentials, or a rule forbids to ask it."),
  429: failure("An upstream's limit of requests is reached; try again after Retry-After seconds."),
  502: failure("An upstream sends what it should not."),
  503: failure("An upstream fails; try again after Retry-After seconds."),
}
const binary = { "application/octet-stream": { schema: { type: "string" as const, format: "binary" } } }
const document = { "application/vnd.oci.image.manifest.v1+json": {}, "application/vnd.oci.image.index.v1+json": {} }

/** A read, and the same without its body. */
const read = (name: string, operation: Operation) => ({
  get: { ...operation, operationId: `get${name}` },
  head: { ...operation, operationId: `head${name}`, summary: `${operation.summary} (headers only)` },
})

/** The pull API for people and tools. Written by hand: its routes hold names of any number of segments. */
export const registryPaths = (prefix: string): Paths => ({ ...pullPaths(prefix), ...discoveryPaths(prefix) })

const pullPaths = (prefix: string): Paths => ({
  [`${prefix}/v2/`]: read("Base", {
    tags: ["pull"],
    summary: "Tell that this is a registry",
    responses: { 200: { description: "It is.", content: { "application/json": {} } } },
  }),
  [`${prefix}/v2/{name}/manifests/{reference}`]: read("Manifest", {
    tags: ["pull"],
    summary: "Get a composed manifest or index, by tag or digest",
    parameters: [NAME, parameter("reference", "path", "Tag or digest."), ACCEPT, IF_NONE_MATCH],
    responses: {
      200: { description: "Exactly the bytes of the digest.", headers: CONTENT_HEADERS, content: document },
      304: { description: "The client has it." },
      400: INVALID,
      404: NOT_FOUND,
      ...UPSTREAM_FAILURES,
    },
  }),
  [`${prefix}/v2/{name}/blobs/{digest}`]: read("Blob", {
    tags: ["pull"],
    summary: "Get a layer or a config",
    parameters: [NAME, DIGEST, RANGE, IF_NONE_MATCH],
    responses: {
      200: {
        description: "The blob. It never ends before its digest is verified.",
        headers: CONTENT_HEADERS,
        content: binary,
      },
      206: {
        description: "A part.",
        headers: { ...CONTENT_HEADERS, "Content-Range": header("Which part.") },
        content: binary,
      },
      304: { description: "The client has it." },
      400: INVALID,
      404: NOT_FOUND,
      416: failure("The range is outside the blob."),
      ...UPSTREAM_FAILURES,
    },
  }),
})

const discoveryPaths = (prefix: string): Paths => ({
  [`${prefix}/v2/{name}/tags/list`]: read("Tags", {
    tags: ["discovery"],
    summary: "List tags",
    parameters: [
      NAME,
      parameter("n", "query", "Tags per page."),
      parameter("last", "query", "Tag after which the page begins."),
    ],
    responses: {
      200: {
        description: "Sorted tags.",
        headers: { Link: header("The next page, if there is one.") },
        content: { "application/json": { schema: { $ref: "#/components/schemas/Tags" } } },
      },
      400: failure("n is no whole number."),
      404: NOT_FOUND,
    },
  }),
  [`${prefix}/v2/{name}/referrers/{digest}`]: read("Referrers", {
    tags: ["discovery"],
    summary: "List what refers to a manifest",
    parameters: [NAME, DIGEST, parameter("artifactType", "query", "Only those of this type.")],
    responses: { 200: { description: "An index, empty for composed images.", content: document }, 400: INVALID },
  }),
})

export const schemas = {
  Errors: {
    type: "object" as const,
    required: ["errors"],
    properties: {
      errors: {
        type: "array" as const,
        items: {
          type: "object" as const,
          required: ["code"],
          properties: {
            code: { type: "string" as const, example: "BLOB_UNKNOWN" },
            message: { type: "string" as const },
            detail: { type: "string" as const },
          },
        },
      },
    },
  },
  Tags: {
    type: "object" as const,
    properties: {
      name: { type: "string" as const },
      tags: { type: "array" as const, items: { type: "string" as const } },
    },
  },
}
