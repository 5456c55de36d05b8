export type Encoding = "none" | "gzip" | "zstd"

/** Tells a compression by its first bytes (RFC 1952, 2.3.1; RFC 8878, 3.1.1 and 3.1.2). */
export function detectEncoding(head: Uint8Array): Encoding {
  const [a, b, c, d] = head
  if (a === 0x1f && b === 0x8b) return "gzip"
  if (a === 0x28 && b === 0xb5 && c === 0x2f && d === 0xfd) return "zstd"
  const isSkippable = a !== undefined && (a & 0xf0) === 0x50 && b === 0x2a && c === 0x4d && d === 0x18
  return isSkippable ? "zstd" : "none"
}

/** Bytes needed by `detectEncoding`. */
export const ENCODING_HEAD = 4

/** Decodes as it streams, all members and frames. The result errors on truncated or damaged input. */
export function decompressed(
  stream: ReadableStream<Uint8Array<ArrayBuffer>>,
  encoding: Encoding,
): ReadableStream<Uint8Array> {
  return encoding === "none" ? stream : stream.pipeThrough(new DecompressionStream(encoding))
}
