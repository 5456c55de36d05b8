/** A file as the only part of a form (RFC 7578), read while it is sent. */
export interface FilePart {
  readonly contentType: string
  /** Of the whole body, in bytes. */
  readonly length: number
  readonly body: ReadableStream<Uint8Array<ArrayBuffer>>
}

const READ_BYTES = 1024 * 1024

/** `seen` gets every byte of the file as it leaves. */
export function filePart(path: string, size: number, seen: (bytes: Uint8Array) => void): FilePart {
  const boundary = `----${crypto.randomUUID()}`
  const encoder = new TextEncoder()
  const head = encoder.encode(
    `--${boundary}\r\nContent-Disposition: form-data; name="file"; filename="blob"\r\nContent-Type: application/octet-stream\r\n\r\n`,
  )
  const tail = encoder.encode(`\r\n--${boundary}--\r\n`)
  const file = Bun.file(path)
  let offset = -1
  const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
    async pull(controller) {
      if (offset === -1) {
        offset = 0
        return controller.enqueue(head)
      }
      if (offset < size) {
        const bytes = await file.slice(offset, Math.min(offset + READ_BYTES, size)).bytes()
        if (bytes.byteLength === 0) return controller.error(new Error(`${path} is shorter than its ${size} bytes`))
        offset += bytes.byteLength
        seen(bytes)
        return controller.enqueue(bytes)
      }
      controller.enqueue(tail)
      controller.close()
    },
  })
  return {
    contentType: `multipart/form-data; boundary=${boundary}`,
    length: head.byteLength + size + tail.byteLength,
    body,
  }
}
