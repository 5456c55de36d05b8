import {
  BYTES,
  CACHE,
  DIGEST_TEXT,
  type Headers,
  header,
  IF_NONE_MATCH,
  IF_RANGE,
  LENGTH,
  type Operation,
  PART,
  type Paths,
  type PortDocumentation,
  parameter,
  RANGE,
  RETRY,
  readPath,
  TEXT,
  UNCHANGED,
  WHOLE,
} from "./openapi.ts"

const IMAGE = parameter(
  "image",
  "path",
  "Image: <repository>:<tag> or <repository>@<digest>, for example ghcr.io/acme/app:1. Holds slashes.",
)
const PATH = parameter("path", "path", "File, below the repository's workdir. May hold slashes, and be empty.")
const DIRECTORY = parameter("path", "query", "Directory to look into; without it, the root.")
const AFTER = parameter("after", "query", "Only names after this one: `next` of the answer before, as it is.")
const IF_MODIFIED_SINCE = parameter(
  "If-Modified-Since",
  "header",
  "The Last-Modified that the client has; only where there is no If-None-Match.",
)
const INLINE_VARS = parameter(
  "X-BlobServe-InlineVars",
  "header",
  "JSON object of texts, put into index.html where the repository has rules for it, for clients of private networks.",
)
const READ_ONLY = parameter("X-BlobServe-ReadOnly", "header", "true: an image that is not known yet is 404.")

const KEPT = {
  ...UNCHANGED,
  "Last-Modified": header("When the image says that the file was changed, if it does."),
  "X-Image-Digest": header("Digest of the image.", DIGEST_TEXT),
  "X-Layer-Digest": header("Digest of the layer that the file is in.", DIGEST_TEXT),
  "Content-Security-Policy": header("A sandbox, for repositories that are not listed."),
  "Cross-Origin-Resource-Policy": header("Where other origins may read."),
  "Access-Control-Allow-Origin": header("Where other origins may read."),
  Vary: header("Headers of the request that the answer depends on."),
}
const FOUND = { ...KEPT, "Content-Length": header("Bytes; not while the layer is on its way.", WHOLE) }
const PLAIN = { "text/plain; charset=utf-8": { schema: TEXT } }

const told = (description: string, headers: Headers = {}) => ({
  description,
  headers: { ...CACHE, ...LENGTH, ...headers },
  content: PLAIN,
})
/** Of whatever names an image. */
const FAILURES = {
  400: told("The path, or the query, is not encoded properly."),
  403: told("The repository may not be served, or an upstream refuses its credentials."),
  404: told("There is no such image, or no such file in it."),
  405: told("It can only be read.", { Allow: header("What can be done.") }),
  429: told("An upstream's limit of requests is reached.", RETRY),
  500: told("The image cannot be had, or the server has failed."),
  502: told("An upstream, or the image, is not as it should be."),
  503: told(
    "The body timeout: it takes longer than clients should wait, and goes on. Others: an upstream fails.",
    RETRY,
  ),
  504: told("An upstream is silent.", RETRY),
}

/** The files inside images, and the pages about images. */
export const filesDocumentation: PortDocumentation = {
  title: "registry-facade, files of images",
  description: "Serves files inside images without unpacking them, and shows what is in images.",
  paths: {
    "/{image}/{path}": filePath("File"),
    "/{image}/__files__/{path}": filePath("FileOfProxy"),
    ...explorerPaths(),
  },
  components: { schemas: { Image: imageSchema() } },
}

function read(name: string, operation: Operation): Paths[string] {
  return readPath(name, { ...operation, responses: { ...operation.responses, ...FAILURES } })
}

function filePath(name: string): Paths[string] {
  const isProxy = name !== "File"
  return {
    ...read(name, {
      tags: ["files"],
      summary: isProxy ? "Get a file, by the path that proxies use" : "Get a file",
      parameters: [IMAGE, PATH, RANGE, IF_RANGE, IF_NONE_MATCH, IF_MODIFIED_SINCE, INLINE_VARS, READ_ONLY],
      responses: {
        200: { description: "The file.", headers: FOUND, content: BYTES },
        206: { description: "A part.", headers: { ...FOUND, ...PART }, content: BYTES },
        302: told("A directory with a page, asked for without its slash.", { Location: header("With the slash.") }),
        304: { description: "The client has it.", headers: KEPT },
        416: told("The range is outside the file.", PART),
      },
    }),
    options: {
      tags: ["files"],
      operationId: `options${name}`,
      summary: "Tell which origins may read",
      parameters: [IMAGE, PATH],
      responses: {
        204: {
          description: "What may be done.",
          headers: {
            ...CACHE,
            Allow: header("What can be done."),
            Vary: KEPT.Vary,
            "Cross-Origin-Resource-Policy": KEPT["Cross-Origin-Resource-Policy"],
            "Access-Control-Allow-Origin": KEPT["Access-Control-Allow-Origin"],
            "Access-Control-Allow-Methods": header("Where other origins may read."),
            "Access-Control-Allow-Headers": header("Where other origins may read."),
          },
        },
        400: FAILURES[400],
        403: FAILURES[403],
        404: FAILURES[404],
      },
    },
  }
}

function explorerPaths(): Paths {
  const parameters = [IMAGE, DIRECTORY, AFTER]
  const headers = { ...CACHE, ...LENGTH }
  return {
    "/-/images/{image}": read("ImagePage", {
      tags: ["images"],
      summary: "Look inside an image: its layers, and what they hold, replace and remove",
      parameters,
      responses: {
        200: {
          description: "A page for people; while the image is on its way, one that asks again.",
          headers: { ...headers, "Content-Security-Policy": header("Nothing but the page's own style.") },
          content: { "text/html; charset=utf-8": { schema: TEXT } },
        },
      },
    }),
    "/-/api/v1/images/{image}": read("Image", {
      tags: ["images"],
      summary: "The same as data",
      parameters,
      responses: {
        200: {
          description: "The layers, and at most 5000 entries of one directory.",
          headers,
          content: { "application/json": { schema: { $ref: "#/components/schemas/Image" } } },
        },
      },
    }),
  }
}

function imageSchema() {
  const object = <Properties extends object>(properties: Properties, optional: readonly (keyof Properties)[] = []) => ({
    type: "object" as const,
    additionalProperties: false,
    required: Object.keys(properties).filter((name) => !optional.includes(name as keyof Properties)),
    properties,
  })
  const list = <Items>(items: Items) => ({ type: "array" as const, items })
  const layer = object({
    digest: DIGEST_TEXT,
    mediaType: TEXT,
    size: WHOLE,
    createdBy: { ...TEXT, nullable: true, description: "As the image's history tells it." },
    origin: { ...TEXT, enum: ["base", "added"] },
    files: WHOLE,
    bytes: { ...WHOLE, description: "Of all its files, uncompressed." },
    unseenFiles: { ...WHOLE, description: "Files that an upper layer replaces or removes." },
    unseenBytes: WHOLE,
  })
  const entry = object(
    {
      name: TEXT,
      path: { ...TEXT, description: "Encoded as in URLs." },
      type: { ...TEXT, enum: ["file", "directory", "symlink", "hardlink", "special"] },
      layer: { ...WHOLE, description: "Counted from the lowest, 0." },
      mode: { ...TEXT, description: "Octal." },
      modified: { ...TEXT, format: "date-time" },
      size: WHOLE,
      digest: DIGEST_TEXT,
      target: { ...TEXT, description: "Of a link." },
      replacedBy: { ...WHOLE, description: "Layer." },
      removedBy: { ...WHOLE, description: "Layer." },
      url: { ...TEXT, nullable: true, description: "Where the file can be had." },
    },
    ["mode", "modified", "size", "digest", "target", "replacedBy", "removedBy"],
  )
  return object({
    image: TEXT,
    digest: DIGEST_TEXT,
    manifest: DIGEST_TEXT,
    platform: TEXT,
    layers: list(layer),
    directory: object({
      path: TEXT,
      entries: list(entry),
      next: {
        ...TEXT,
        nullable: true,
        description: "More entries follow: `after` of the next request, encoded as in URLs.",
      },
    }),
  })
}
