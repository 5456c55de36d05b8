import { lookup } from "node:dns/promises"

/** All addresses of a name, as the system resolves it; an address is its own. Rejects when there is none. */
export async function systemLookup(hostname: string): Promise<readonly string[]> {
  const found = await lookup(hostname, { all: true })
  return found.map(({ address }) => address)
}
