const sole = new WeakSet<Uint8Array>()

/** Marks bytes that nobody else has, in a buffer of their own: the last who uses them may give them back. */
export function soleBytes(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  sole.add(bytes)
  return bytes
}

/**
 * Gives the memory of bytes back that were marked, which are empty afterwards; does nothing with others. The collector
 * hears late of memory outside its heap.
 */
export function giveBack(bytes: Uint8Array): void {
  if (sole.delete(bytes) && bytes.buffer instanceof ArrayBuffer) bytes.buffer.transfer(0)
}
