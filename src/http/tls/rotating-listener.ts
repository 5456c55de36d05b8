import type { Clock } from "../../lib/clock.ts"
import { steerConnectionsToSecond } from "../../lib/steer-connections.ts"
import { type Listener, type ListenOptions, listen } from "../server.ts"
import type { TlsCredentials } from "./credentials.ts"

export interface RotatingOptions extends ListenOptions {
  readonly credentials: TlsCredentials
  readonly clock: Clock
  /** How long the old certificate's connections have to end by themselves before those that are idle are closed. */
  readonly handoverMs: number
}

/** A TLS port whose certificate can be replaced while it serves. */
export interface RotatingListener extends Listener {
  /** New handshakes use these credentials, from soon on; what is being sent goes on over its connection. */
  rotate(credentials: TlsCredentials): void
}

/** Throws when the port cannot be opened. */
export function listenTls(options: RotatingOptions): RotatingListener {
  const first = listen(options)
  if (!steerConnectionsToSecond())
    options.log.warn("this system cannot steer connections, a few may be reset when the certificate is replaced")
  return new RotatingServer(options, first)
}

/**
 * Bun cannot change the certificate of a listening socket, so each gets a socket of its own: the new one joins the old
 * one on the port, all new connections are steered to it, and the old one is closed when the connections that it had
 * in its queue are long accepted. Closing it at once would reset those (docs/decisions/0011-tls-rotation.md).
 */
class RotatingServer implements RotatingListener {
  readonly port: number
  readonly #options: RotatingOptions
  readonly #stop = new AbortController()
  /** Servers that accept nothing new, while they still send. */
  readonly #leaving = new Map<Listener, Promise<void>>()
  #current: Listener
  #isRetired = false
  #wanted: TlsCredentials | null = null
  #rotating: Promise<void> | null = null

  constructor(options: RotatingOptions, first: Listener) {
    this.#options = options
    this.#current = first
    this.port = first.port
  }

  rotate(credentials: TlsCredentials): void {
    this.#wanted = credentials
    this.#rotating ??= this.#rotateAll().finally(() => {
      this.#rotating = null
    })
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
      const credentials = this.#wanted
      this.#wanted = null
      const old = this.#current
      const next = this.#open(credentials)
      if (next !== null) {
        this.#current = next
        old.retire()
        if (this.#isRetired) next.retire()
      } else this.#wanted ??= credentials
      await this.#options.clock.sleep(this.#options.handoverMs, this.#stop.signal).catch(() => {})
      if (next !== null) this.#leave(old)
    }
  }

  /** Null when the machine has no socket for it now. */
  #open(credentials: TlsCredentials): Listener | null {
    try {
      return listen({ ...this.#options, port: this.port, credentials, mayShare: true })
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
