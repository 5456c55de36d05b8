import type { Clock } from "../lib/clock.ts"
import { isRecord } from "../lib/record.ts"
import type { Credential } from "../upstream/keychain.ts"

export interface HelperOptions {
  readonly clock: Clock
  /** How long a helper may take. */
  readonly helperMs: number
  /** The environment that helpers get; their own settings are in it. */
  readonly env: Readonly<Record<string, string | undefined>>
}

const MAX_OUTPUT_BYTES = 64 * 1024
/** What helpers print when they have nothing, as those of Docker and of others after them do. */
const NOTHING = /credentials not found|no credentials/i
/** In place of a user's name: the secret is an identity token. */
const IDENTITY_TOKEN_USER = "<token>"

/**
 * Asks `docker-credential-<name>` for what it has for a server (docker-credential-helpers: protocol). Null: nothing.
 * Rejects with an error that holds nothing of what the helper printed.
 */
export async function askHelper(
  name: string,
  server: string,
  { clock, helperMs, env }: HelperOptions,
): Promise<Credential | null> {
  const program = `docker-credential-${name}`
  const path = Bun.which(program, { PATH: env["PATH"] ?? "" })
  if (path === null) throw new Error(`Cannot run ${program}: it is not on the PATH`)
  const child = Bun.spawn([path, "get"], {
    stdin: Buffer.from(server),
    stdout: "pipe",
    stderr: "ignore",
    env: { ...env },
    maxBuffer: MAX_OUTPUT_BYTES,
    killSignal: "SIGKILL",
  })
  const timer = new AbortController()
  const late = clock.sleep(helperMs, timer.signal).then(() => {
    throw new Error(`Cannot use ${program}: it took more than ${helperMs / 1000} s`)
  })
  late.catch(() => {})
  try {
    // The program may leave children behind that keep the pipe open, so its end is not all that is waited for
    const [text, code] = await Promise.race([Promise.all([new Response(child.stdout).text(), child.exited]), late])
    return readAnswer(program, text, code)
  } finally {
    timer.abort()
    child.kill("SIGKILL")
  }
}

function readAnswer(program: string, text: string, code: number): Credential | null {
  if (code !== 0 && NOTHING.test(text)) return null
  if (code !== 0) throw new Error(`Cannot use ${program}: it ended with ${code}`)
  const answer = safeParse(text)
  if (answer === null) throw new Error(`Cannot use ${program}: it printed no JSON with "Username" and "Secret"`)
  const { Username: username, Secret: secret } = answer
  if (typeof username !== "string" || typeof secret !== "string")
    throw new Error(`Cannot use ${program}: it printed no "Username" and "Secret"`)
  if (username === IDENTITY_TOKEN_USER) return { kind: "refresh", token: secret }
  return username === "" && secret === "" ? null : { kind: "password", username, password: secret }
}

function safeParse(text: string): Readonly<Record<string, unknown>> | null {
  try {
    const value: unknown = JSON.parse(text)
    return isRecord(value) ? value : null
  } catch {
    return null
  }
}
