import type { Clock } from "../../lib/clock.ts"
import { steerConnectionsToSecond } from "../../lib/steer-connections.ts"
import { type Listener, type ListenOptions, listen } from "../server.ts"
import type { TlsCredentials } from "./credentials.ts"

export interface RotatingOptions extends Omit<ListenOptions, "credentials"> {
  /** Null: plain HTTP. */
  readonly credentials: TlsCredentials | null
  readonly clock: Clock
  /** How long the old certificate's connections have to end by themselves before those that are idle are closed. */
  readonly handoverMs: number
}

/** A port whose certificate can be replaced while it serves, or begin to be there, or be gone. */
export interface RotatingListener extends Listener {
  /** New connections use these credentials, from soon on; what is being sent goes on over its connection. */
  rotate(credentials: TlsCredentials | null): void
}

/** Throws when the port cannot be opened. */
export function listenRotating(options: RotatingOptions): RotatingListener {
  const first = listen(withCredentials(options, options.credentials))
  if (options.credentials !== null && !steerConnectionsToSecond())
    options.log.warn("this system cannot steer connections, a few may be reset when the certificate is replaced")
  return new RotatingServer(options, first)
}

function withCredentials({ credentials: _, ...options }: RotatingOptions, credentials: TlsCredentials | null) {
  return credentials === null ? options : { ...options, credentials }
}

/**
 * Bun cannot change the certificate of a listening socket, so each gets a socket of its own: the new one joins the old
 * one on the port, all new connections are steered to it, and the old one is closed when the connections that it had
 * in its queue are long accepted. Closing it at once would reset those (docs/decisions/0012-tls-rotation.md).
 */
class RotatingServer implements RotatingListener {
  readonly port: number
  readonly #options: RotatingOptions
  readonly #stop = new AbortController()
  /** Servers that accept nothing new, while they still send. */
  readonly #leaving = new Map<Listener, Promise<void>>()
  #current: Listener
  #isRetired = false
  #wanted: { readonly credentials: TlsCredentials | null } | null = null
  #rotating: Promise<void> | null = null

  constructor(options: RotatingOptions, first: Listener) {
    this.#options = options
    this.#current = first
    this.port = first.port
  }

  rotate(credentials: TlsCredentials | null): void {
    this.#wanted = { credentials }
    this.#rotating ??= this.#rotateAll().finally(() => {
      this.#rotating = null
    })
  }

  closeIdle(): number {
    return [this.#current, ...this.#leaving.keys()].reduce((closed, server) => closed + server.closeIdle(), 0)
  }

  retire(): void {
    this.#isRetired = true
    this.#current.retire()
  }

  async stop(isForced: boolean): Promise<void> {
    this.#stop.abort()
    await this.#rotating
    const leaving = [...this.#leaving].map(([server, left]) => (isForced ? server.stop(true) : left))
    await Promise.all([this.#current.stop(isForced), ...leaving])
  }

  /** One after the other: connections can be steered to the second of two sockets, but not to a third. */
  async #rotateAll(): Promise<void> {
    while (this.#wanted !== null && !this.#stop.signal.aborted) {
      const wanted = this.#wanted
      this.#wanted = null
      const old = this.#current
      const next = this.#open(wanted.credentials)
      if (next !== null) {
        this.#current = next
        old.retire()
        if (this.#isRetired) next.retire()
      } else this.#wanted ??= wanted
      await this.#options.clock.sleep(this.#options.handoverMs, this.#stop.signal).catch(() => {})
      if (next !== null) this.#leave(old)
    }
  }

  /** Null when the machine has no socket for it now. */
  #open(credentials: TlsCredentials | null): Listener | null {
    steerConnectionsToSecond() // a port that began without TLS has not been told before
    try {
      return listen(withCredentials({ ...this.#options, port: this.port, mayShare: true }, credentials))
    } catch (error) {
      this.#options.log.error("cannot use the new certificate yet, the old one stays in use", { error })
      return null
    }
  }

  #leave(server: Listener): void {
    const left = server.stop(false).finally(() => this.#leaving.delete(server))
    this.#leaving.set(server, left)
  }
}
