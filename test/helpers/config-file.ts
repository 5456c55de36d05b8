import { readFileSync, renameSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import type { RunningFacade } from "./facade.ts"

export type ConfigKeys = Readonly<Record<string, unknown>>

const fileOf = ({ dir }: RunningFacade): string => join(dir, "config.json")

/** Changes keys of `registry`, and of the top, in the configuration's file. It is replaced, as Kubernetes does. */
export function changeConfig(facade: RunningFacade, registry: ConfigKeys, top: ConfigKeys = {}): void {
  const file = fileOf(facade)
  const config = JSON.parse(readFileSync(file, "utf8"))
  writeFileSync(`${file}.new`, JSON.stringify({ ...config, ...top, registry: { ...config.registry, ...registry } }))
  renameSync(`${file}.new`, file)
}

/** Lines with that message. */
export const linesOf = ({ logs }: RunningFacade, message: string) => logs.filter((line) => line["message"] === message)

export const APPLIED = "reloading file after change"
