import { mkdirSync } from "node:fs"
import { join } from "node:path"
import { freePort } from "../test/helpers/free-port.ts"
import { type Contender, type FileServer, prepareFacade, startFacade, startFiles } from "./contenders.ts"
import { type Material, makeMaterial } from "./material.ts"
import type { Plan } from "./plan.ts"
import { startUpstream, type Upstream } from "./upstream.ts"

/** What the contenders are measured with. */
export interface Lab {
  readonly work: string
  readonly plan: Plan
  readonly material: Material
  /** As slow as an upstream at the other end of a good line. */
  readonly far: Upstream
  /** As fast as this machine allows. */
  readonly near: Upstream
  /** The facade's disk store, which outlives each of its processes. */
  readonly store: string
  /** Starts the facade with what it has on disk; one at a time. */
  startFacade(): Promise<Contender>
  /** Starts a facade for the files inside an image. */
  startFiles(): Promise<FileServer>
  stop(): Promise<void>
}

export async function openLab(work: string, plan: Plan): Promise<Lab> {
  const material = await makeMaterial(join(work, "material"), plan)
  mkdirSync(join(work, "logs"))
  const { upstreamBytesPerSecond: bytesPerSecond, upstreamDelayMs: delayMs } = plan
  const far = await startUpstream(material.dir, join(work, "logs/far"), { bytesPerSecond, delayMs })
  const near = await startUpstream(material.dir, join(work, "logs/near"), null)
  const port = freePort()
  const { config, store } = prepareFacade(join(work, "facade"), { far: far.host, near: near.host }, port)
  return {
    work,
    plan,
    material,
    far,
    near,
    store,
    startFacade: async () => await startFacade(config, port),
    startFiles: async () => await startFiles(join(work, "files"), near.host),
    stop: async () => {
      await Promise.all([far.process.stop(), near.process.stop()])
    },
  }
}
