const sole = new WeakSet<Uint8Array>()

/** Marks bytes that nobody else has, in a buffer of their own: the last who uses them may give them back. */
export function soleBytes(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  sole.add(bytes)
  return bytes
}

/** Releases bytes that were marked; does nothing with others. */
export function giveBack(bytes: Uint8Array): void {
  if (sole.delete(bytes) && bytes.buffer instanceof ArrayBuffer) release(bytes.buffer)
}

/** Frees memory at once, because the collector hears late of what is outside its heap. It is empty afterwards, for all who have it. */
export function release(buffer: ArrayBuffer): void {
  buffer.transfer(0)
}
