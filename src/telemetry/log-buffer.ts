export interface LogBufferOptions {
  /** Hands text over, and calls back when it was taken, or never will be. Called once at a time. */
  readonly sink: (text: string, taken: () => void) => void
  /** Calls back after what the event loop is busy with now. */
  readonly soon: (flush: () => void) => void
  /** Characters that wait for a slow reader; more are lost, and counted. */
  readonly capacity: number
  /** The line that tells how many lines were lost. */
  readonly lostLine: (count: number) => string
}

/** A function makes it when it is to be written. */
export type Line = string | (() => string)

/** More are made before their time, so that those who write without a pause are held to the capacity, too. */
const MAX_UNMADE = 1000

/**
 * Gathers the lines of one turn of the event loop and writes them together: a write costs as much as everything else
 * that is done for a line, and to make many in a row takes a fraction of the time. A reader that is too slow holds up nobody,
 * it loses lines.
 */
export class LogBuffer {
  readonly #options: LogBufferOptions
  #unmade: Line[] = []
  #text = ""
  #lost = 0
  #isBusy = false
  #isScheduled = false
  #idle = Promise.withResolvers<void>()

  constructor(options: LogBufferOptions) {
    this.#options = options
    this.#idle.resolve()
  }

  write(line: Line): void {
    this.#unmade.push(line)
    if (this.#isBusy || this.#unmade.length === MAX_UNMADE) this.#make()
    if (this.#isScheduled || this.#isBusy) return
    this.#isScheduled = true
    this.#idle = Promise.withResolvers()
    this.#options.soon(() => {
      this.#isScheduled = false
      this.flush()
    })
  }

  /** Hands over what waits, unless the sink is busy. */
  flush(): void {
    if (this.#isBusy) return
    const text = this.take()
    this.#isBusy = text !== ""
    if (!this.#isBusy) this.#idle.resolve()
    else this.#options.sink(text, this.#taken)
  }

  readonly #taken = (): void => {
    this.#isBusy = false
    this.flush()
  }

  #make(): void {
    const lines = this.#unmade
    this.#unmade = []
    for (const line of lines) {
      const text = typeof line === "string" ? line : line()
      if (this.#text.length + text.length > this.#options.capacity) this.#lost += 1
      else this.#text += text
    }
  }

  /** Takes out what was not handed over yet, for who has to write it in another way. */
  take(): string {
    this.#make()
    const text = this.#lost === 0 ? this.#text : this.#text + this.#options.lostLine(this.#lost)
    this.#text = ""
    this.#lost = 0
    return text
  }

  /** Resolves when everything that was written is taken. */
  async flushed(): Promise<void> {
    await this.#idle.promise
  }
}
