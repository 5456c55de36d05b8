/** A stream of the process, and when everything that was written to it has been handed over, also to a slow pipe. */
export interface Output {
  readonly write: (text: string) => void
  flushed(): Promise<void>
}

/** Ending the process cuts off what its pipes have not taken yet, so whoever ends it waits for `flushed()`. */
export function createOutput(stream: Pick<NodeJS.WriteStream, "write">): Output {
  let last = Promise.resolve()
  const write = (text: string) => {
    const { promise, resolve } = Promise.withResolvers<void>()
    stream.write(text, () => resolve()) // also when nobody reads any more
    last = promise
  }
  return { write, flushed: () => last }
}
