/** Where the bytes of a blob came from; a closed set, used as a label. */
export type SourceName = (typeof SOURCE_NAMES)[number]
export const SOURCE_NAMES = ["disk", "ipfs", "upstream", "config", "static", "image", "content", "peer", "s3"] as const
/** What an upstream is asked for. */
export type UpstreamKind = "manifest" | "blob" | "tags" | "referrers" | "token"
/** What a client asks for. */
export type Route = "base" | "manifest" | "blob" | "tags" | "referrers" | "file" | "other"
