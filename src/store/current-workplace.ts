import type { Workplace } from "./workplace.ts"

/** The workplace of this process, made when it is first needed, and again after trouble. */
export class CurrentWorkplace {
  readonly #open: () => Promise<Workplace>
  #current: Promise<Workplace> | null = null
  /** Those that somebody has removed, as far as is known; unfinished files may still be there. */
  readonly #former: Promise<Workplace>[] = []

  constructor(open: () => Promise<Workplace>) {
    this.#open = open
  }

  async get(): Promise<Workplace> {
    this.#current ??= this.#open()
    return await this.#current.catch((error) => {
      this.#current = null
      throw error
    })
  }

  /** The next one who needs it gets a new one. */
  replace(): void {
    if (this.#current !== null) this.#former.push(this.#current)
    this.#current = null
  }

  async leave(): Promise<void> {
    this.replace()
    for (const workplace of this.#former.splice(0)) await (await workplace.catch(() => null))?.leave()
  }
}
