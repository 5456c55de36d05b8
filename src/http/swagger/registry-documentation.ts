import { DOCKER_INDEX, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST } from "../../oci/media-type.ts"
import {
  BYTES,
  CACHE,
  DIGEST_TEXT,
  ERRORS,
  failure,
  header,
  IF_NONE_MATCH,
  IF_RANGE,
  LENGTH,
  OBJECT,
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

const NAME = parameter("name", "path", "Repository: <provider>/<name>, for example fixed/hello. May hold slashes.", {
  ...TEXT,
  maxLength: 255,
})
const DIGEST = parameter("digest", "path", "Digest, for example sha256:<64 hexadecimal characters>.", DIGEST_TEXT)
const ACCEPT = parameter(
  "Accept",
  "header",
  "Without an index type, the manifest of the default platform is given instead of the index.",
)
const WARNING = { Warning: header("The message of the error, for clients that print no bodies of 5xx.") }
const UNCHANGED_HEADERS = {
  "Docker-Content-Digest": header("Digest of the content.", DIGEST_TEXT),
  ...UNCHANGED,
}
const CONTENT_HEADERS = { ...UNCHANGED_HEADERS, ...LENGTH }
const TAG_HEADERS = {
  Vary: header("Accept, where an index may be given as a single manifest."),
  Warning: header("What is served as it was, because its registry fails."),
}

const OUTSIDE = failure("The range is outside the content.", PART)
const NOT_FOUND = failure("The name, tag or digest is unknown, or not readable under this name.")
const INVALID = failure("The name or the digest is malformed.")
/** Of whatever path. */
const OWN_FAILURES = {
  401: failure("A login is asked for.", { "WWW-Authenticate": header("Basic.") }),
  429: failure("Too many wrong passwords, or an upstream's limit of requests is reached.", RETRY),
  500: failure("A layer cannot be had, or the registry has failed.", WARNING),
  503: failure("Too much is under way, or an upstream fails.", { ...RETRY, ...WARNING }),
}
/** Of whatever may need an upstream, besides. */
const UPSTREAM_FAILURES = {
  403: failure("An upstream refuses its credentials, or a rule forbids to ask it."),
  502: failure("An upstream sends what it should not.", WARNING),
  504: failure("An upstream is silent.", { ...RETRY, ...WARNING }),
}
const document = {
  [OCI_MANIFEST]: OBJECT,
  [OCI_INDEX]: OBJECT,
  [DOCKER_MANIFEST]: OBJECT,
  [DOCKER_INDEX]: OBJECT,
}

function read(name: string, operation: Operation): Paths[string] {
  const responses = { ...operation.responses, ...OWN_FAILURES }
  return readPath(name, { ...operation, security: [{}, { basic: [] }], responses })
}

/** The pull API for people and tools. Written by hand: its routes hold names of any number of segments. */
export const registryDocumentation = (prefix: string): PortDocumentation => ({
  title: "registry-facade",
  description: "An OCI registry for pulling that composes images while they are pulled.",
  paths: { ...pullPaths(prefix), ...discoveryPaths(prefix) },
  components: { schemas: { Errors: ERRORS, Tags: TAGS }, securitySchemes },
})

const pullPaths = (prefix: string): Paths => ({
  [`${prefix}/v2/`]: read("Base", {
    tags: ["pull"],
    summary: "Tell that this is a registry",
    responses: { 200: { description: "It is.", headers: LENGTH, content: { "application/json": OBJECT } } },
  }),
  [`${prefix}/v2/{name}/manifests/{reference}`]: read("Manifest", {
    tags: ["pull"],
    summary: "Get a composed manifest or index, by tag or digest",
    parameters: [NAME, parameter("reference", "path", "Tag or digest."), ACCEPT, RANGE, IF_RANGE, IF_NONE_MATCH],
    responses: {
      200: {
        description: "Exactly the bytes of the digest.",
        headers: { ...CONTENT_HEADERS, ...TAG_HEADERS },
        content: document,
      },
      206: {
        description: "A part.",
        headers: { ...CONTENT_HEADERS, ...TAG_HEADERS, ...PART },
        content: document,
      },
      304: { description: "The client has it.", headers: { ...UNCHANGED_HEADERS, ...TAG_HEADERS } },
      400: INVALID,
      404: NOT_FOUND,
      416: OUTSIDE,
      ...UPSTREAM_FAILURES,
    },
  }),
  [`${prefix}/v2/{name}/blobs/{digest}`]: read("Blob", {
    tags: ["pull"],
    summary: "Get a layer or a config",
    parameters: [NAME, DIGEST, RANGE, IF_RANGE, IF_NONE_MATCH],
    responses: {
      200: {
        description: "The blob. It never ends before its digest is verified.",
        headers: CONTENT_HEADERS,
        content: BYTES,
      },
      206: {
        description: "A part.",
        headers: { ...CONTENT_HEADERS, ...PART },
        content: BYTES,
      },
      304: { description: "The client has it.", headers: UNCHANGED_HEADERS },
      400: INVALID,
      404: NOT_FOUND,
      416: OUTSIDE,
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
      parameter("n", "query", "Tags per page.", WHOLE),
      parameter("last", "query", "Tag after which the page begins."),
    ],
    responses: {
      200: {
        description: "Sorted tags.",
        headers: { ...LENGTH, Link: header("The next page, if there is one.") },
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
    responses: {
      200: {
        description: "An index, empty for composed images.",
        headers: { ...CACHE, ...LENGTH, "OCI-Filters-Applied": header("artifactType, where it was asked for.") },
        content: { [OCI_INDEX]: OBJECT },
      },
      400: INVALID,
    },
  }),
})

const TAGS = {
  type: "object" as const,
  required: ["name", "tags"],
  properties: { name: TEXT, tags: { type: "array" as const, items: TEXT } },
}

/** Asked for where the configuration says so. */
const securitySchemes = { basic: { type: "http" as const, scheme: "basic" } }
