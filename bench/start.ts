import { download } from "./cold.ts"
import type { Lab } from "./lab.ts"
import { median } from "./median.ts"

export interface StartResult {
  readonly startMs: number
  readonly idleBytes: number
}

const SETTLE_MS = 1000

/** Starts the facade again and again, with what it has on disk, and looks at it while it does nothing. */
export async function measureStart({ plan, startFacade }: Lab): Promise<StartResult> {
  const starts: StartResult[] = []
  for (let round = 0; round < plan.transferRounds; round += 1) {
    const { process } = await startFacade()
    await Bun.sleep(SETTLE_MS)
    starts.push({ startMs: process.startMs, idleBytes: process.residentBytes() })
    await process.stop()
  }
  return {
    startMs: median(starts.map(({ startMs }) => startMs)),
    idleBytes: median(starts.map(({ idleBytes }) => idleBytes)),
  }
}

export interface RestartResult {
  readonly firstSeconds: number
  readonly secondSeconds: number
}

/** The first and the second read of a stored blob after a restart. */
export async function measureRestart({ material, startFacade }: Lab): Promise<RestartResult> {
  const { process, blobPath } = await startFacade()
  const url = `${process.url}${blobPath(material.big.digest)}`
  const first = await download(url, material.big)
  const second = await download(url, material.big)
  await process.stop()
  return { firstSeconds: first.totalSeconds, secondSeconds: second.totalSeconds }
}
