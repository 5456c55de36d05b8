import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { readdirSync, rmSync, utimesSync } from "node:fs"
import { join } from "node:path"
import { type Crawled, crawl } from "../helpers/crawl.ts"
import type { FacadeOptions, RunningFacade } from "../helpers/facade.ts"
import { FORMS, type Lab, labNeeds, specOf, startLab, startLabFacade } from "../helpers/lab.ts"
import { eventually } from "../helpers/programs.ts"
import { tempDir } from "../helpers/temp-dir.ts"

setDefaultTimeout(60_000)

const NAMES = ["single", "docker", "multi"] as const
type Crawls = Readonly<Record<(typeof NAMES)[number], Crawled>>

const required = labNeeds()
describe.skipIf(required.isMissing)(`the same specs${required.note}`, () => {
  let lab: Lab
  let specs: unknown
  const dir = tempDir()
  let first: Crawls

  beforeAll(async () => {
    lab = await startLab()
    specs = {
      single: await specOf(lab.bases.oci, lab, FORMS),
      docker: await specOf(lab.bases.docker, lab, FORMS),
      multi: await specOf(lab.bases.multi, lab, FORMS),
    }
    first = await crawlAll({ dir, env: { TZ: "UTC", LC_ALL: "C" } })
  })
  afterAll(async () => await lab?.stop())

  /** Everything that a facade serves, in an order of its own. */
  async function crawlAll(options: FacadeOptions, names: readonly (keyof Crawls)[] = NAMES): Promise<Crawls> {
    return await withFacade(options, (facade) => crawlNames(facade, names))
  }

  async function withFacade<Value>(options: FacadeOptions, use: (facade: RunningFacade) => Promise<Value>) {
    const facade = await startLabFacade(specs, options)
    return await use(facade).finally(() => facade.stop())
  }

  test("give the same digests in another process, directory, time zone, language and second", async () => {
    const startedIn = second()
    await eventually(async () => (second() === startedIn ? null : true))
    const elsewhere = tempDir()
    const env = { TZ: "Asia/Kathmandu", LC_ALL: "tr_TR.UTF-8", LANG: "tr_TR.UTF-8" }

    expect(await crawlAll({ dir: elsewhere, env }, NAMES.toReversed())).toEqual(first)
  })

  test("give the same digests whenever the files of a directory were written", async () => {
    const crawls = await withFacade({}, async (facade) => {
      age(join(facade.dir, "tools"))
      age(join(facade.dir, "layers"))
      return await crawlNames(facade, NAMES)
    })

    expect(crawls).toEqual(first)
  })

  test("give the same digests after a restart", async () => {
    expect(await crawlAll({ dir })).toEqual(first)
  })

  test("give the same digests after a restart without the store", async () => {
    rmSync(join(dir, "store"), { recursive: true })

    expect(await crawlAll({ dir })).toEqual(first)
  })

  test("differ from what was there before a file has changed, and only by that", async () => {
    const { single } = await withFacade({}, async (facade) => {
      await Bun.write(join(facade.dir, "tools/usr/bin/on-path"), "#!/bin/bash\necho changed\n")
      return await crawlNames(facade, ["single"])
    })

    // The layer, and therefore the config and the manifest
    expect(single.digests.filter((digest) => !first.single.digests.includes(digest))).toHaveLength(3)
  })
})

const second = (): number => Math.floor(Date.now() / 1000)

async function crawlNames(facade: RunningFacade, names: readonly (keyof Crawls)[]): Promise<Crawls> {
  const crawls: Partial<Record<keyof Crawls, Crawled>> = {}
  for (const name of names) crawls[name] = await crawl(facade, name)
  return crawls as Crawls
}

function age(dir: string): void {
  for (const entry of readdirSync(dir, { recursive: true, encoding: "utf8" })) utimesSync(join(dir, entry), 1e9, 1e9)
}
