import { join } from "node:path"
import { output } from "./programs.ts"

export interface ManyPulls {
  /** How many clients got each of these: a status with the digest or the size of the body, or why it broke. */
  readonly outcomes: Readonly<Record<string, number>>
}

/**
 * Pulls one URL by many clients at once, in a process of their own, which keeps none of the bytes. Only one in
 * `hashEvery` looks at them: hashing takes longer than all the rest.
 */
export async function pullMany(url: string, clients: number, hashEvery = 1): Promise<ManyPulls> {
  const env = { BUN_CONFIG_MAX_HTTP_REQUESTS: String(clients + 10) }
  const command = [
    process.execPath,
    join(import.meta.dir, "pull-many-main.ts"),
    url,
    String(clients),
    String(hashEvery),
  ]
  return { outcomes: JSON.parse(await output(command, { env })) }
}
