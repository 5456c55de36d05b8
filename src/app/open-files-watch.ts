import type { Listener, OpenFiles } from "../http/server.ts"
import { countOpenFiles } from "../lib/open-files.ts"
import { type FileBudget, fileBudget } from "./file-budget.ts"
import type { Tools } from "./tools.ts"

/**
 * Bun tells nobody of a new connection, and takes each until the process has no file left. So what is open is counted
 * now and then, and connections that nobody uses are closed before they can take the files of those that are in use.
 */
export class OpenFilesWatch implements OpenFiles {
  readonly #tools: Tools
  readonly #budget: FileBudget
  areScarce = false
  areSpent = false

  constructor(tools: Tools) {
    this.#tools = tools
    this.#budget = fileBudget(tools.tuning)
  }

  /** Until the signal is aborted; `listeners` are those whose connections may be closed. */
  async run(listeners: () => readonly Listener[], signal: AbortSignal): Promise<void> {
    const { clock, serving } = this.#tools.tuning
    while (!signal.aborted) {
      this.#look(listeners())
      await clock.sleep(serving.openFilesMs, signal).catch(() => {})
    }
  }

  #look(listeners: readonly Listener[]): void {
    const { log, metrics } = this.#tools
    const open = countOpenFiles()
    this.areScarce = open > this.#budget.scarceFrom
    this.areSpent = open > this.#budget.spentFrom
    if (!this.areScarce) return
    const closed = listeners.reduce((sum, listener) => sum + listener.closeIdle(), 0)
    metrics.idleClosed.inc(closed)
    log.warn("few files are left, closing idle connections", { open, closed }, "open files")
  }
}
