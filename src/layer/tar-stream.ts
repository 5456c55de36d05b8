import { TAR_END, type TarEntry, tarHeader, tarPadding } from "../oci/tar.ts"

export interface TarItem {
  readonly entry: TarEntry
  /** The content, exactly `entry.size` bytes. */
  readonly open: () => AsyncIterable<Uint8Array> | Iterable<Uint8Array>
}

/** Writes an archive. Errors when an item's content is not as long as its header says. */
export function tarStream(items: readonly TarItem[]): ReadableStream<Uint8Array> {
  const blocks = tarBlocks(items)
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const { done, value } = await blocks.next()
        if (done === true) controller.close()
        else controller.enqueue(value)
      },
      cancel: async () => void (await blocks.return()),
    },
    { highWaterMark: 0 },
  )
}

async function* tarBlocks(items: readonly TarItem[]): AsyncGenerator<Uint8Array, void, undefined> {
  for (const { entry, open } of items) {
    yield tarHeader(entry)
    let size = 0
    for await (const bytes of open()) {
      size += bytes.byteLength
      if (bytes.byteLength > 0) yield bytes
    }
    if (size !== entry.size) throw new Error(`${entry.path} changed while it was read`)
    const padding = tarPadding(size)
    if (padding.byteLength > 0) yield padding
  }
  yield TAR_END
}
