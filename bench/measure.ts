import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { type CachedResults, measureCached } from "./cached.ts"
import { type ColdResults, download, type HerdResult, kept, measureCold, measureHerd } from "./cold.ts"
import { type Contender, startDockerRegistry, startNginx } from "./contenders.ts"
import { type Lab, openLab } from "./lab.ts"
import type { Material } from "./material.ts"
import { type CrowdResult, measureCrowd } from "./memory.ts"
import type { Plan } from "./plan.ts"
import { measureScan, type ScanResult } from "./scan.ts"
import { measureRestart, measureStart, type RestartResult, type StartResult } from "./start.ts"

export interface Measurements {
  readonly plan: Plan
  readonly cached: CachedResults
  readonly coldFar: ColdResults
  readonly coldNear: ColdResults
  readonly herd: HerdResult
  readonly crowdCold: CrowdResult
  readonly crowdCached: CrowdResult
  readonly scan: ScanResult
  readonly start: StartResult
  readonly restart: RestartResult
}

/** Measures everything, in a directory that it may fill. Rejects when a server does not do what it should. */
export async function measureAll(work: string, plan: Plan, say: (text: string) => void): Promise<Measurements> {
  say("making blobs and starting upstreams")
  const lab = await openLab(work, plan)
  const facade = await lab.startFacade()
  await fill(facade, lab)
  say("cached blobs and manifests")
  const cached = await measureRivals(facade, lab)
  const cold = { lab, facade: facade.process }
  say("cold blobs")
  const coldFar = await measureCold({ ...cold, upstream: "far" })
  const coldNear = await measureCold({ ...cold, upstream: "near" })
  say("many clients on one cold blob")
  const herd = await measureHerd({ ...cold, upstream: "far" })
  say("clients that stall")
  const huge = `/v2/fixed/near/blobs/${lab.material.huge.digest}`
  const crowdCold = await measureCrowd(facade.process, huge, plan)
  await download(`${facade.process.url}${huge}`, lab.material.huge)
  await kept(lab, lab.material.huge)
  const crowdCached = await measureCrowd(facade.process, huge, plan)
  await facade.process.stop()
  say("files of layers that nobody has read")
  const scan = await measureScan(lab)
  say("starting again and again")
  const start = await measureStart(lab)
  const restart = await measureRestart(lab)
  await lab.stop()
  return { plan, cached, coldFar, coldNear, herd, crowdCold, crowdCached, scan, start, restart }
}

/** Has the facade fetch what the others are given. */
async function fill({ process, blobPath, manifestPath }: Contender, { material }: Lab): Promise<void> {
  const paths = [...material.small, material.big].map(({ digest }) => blobPath(digest))
  for (const path of paths) await (await expectOK(`${process.url}${path}`)).arrayBuffer()
  const composed = await expectOK(`${process.url}${manifestPath}`)
  writeFileSync(join(material.dir, "manifests/composed"), await composed.bytes())
}

async function expectOK(url: string): Promise<Response> {
  const answer = await fetch(url)
  if (answer.status !== 200) throw new Error(`${url} answers ${answer.status}: ${await answer.text()}`)
  return answer
}

async function measureRivals(facade: Contender, lab: Lab): Promise<CachedResults> {
  const material: Material = lab.material
  const nginx = await startNginx(lab.work, material)
  const dockerRegistry = await startDockerRegistry(lab.work, material)
  const files = await lab.startFiles()
  try {
    return await measureCached([{ ...facade, files }, nginx, dockerRegistry], material, lab.plan)
  } finally {
    await Promise.all([nginx, dockerRegistry, files].map(({ process }) => process.stop()))
  }
}
