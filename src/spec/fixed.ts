import { dirname } from "node:path"
import type { Clock } from "../lib/clock.ts"
import { type JsonText, parseJsonText } from "../lib/json-text.ts"
import { DocumentError, findProblems, type Problem } from "../lib/validate.ts"
import { WatchedFile } from "../lib/watched-file.ts"
import { isRepositoryName } from "../oci/reference.ts"
import type { Logger } from "../telemetry/log.ts"
import type { Metrics } from "../telemetry/metrics.ts"
import { normalizeKeys, spelledPath } from "./normalize.ts"
import { parseSpec, SpecError } from "./parse.ts"
import { imageSpecsSchema } from "./schema.ts"
import type { ImageSpec, SpecProvider } from "./spec.ts"

export interface FixedSpecsOptions {
  readonly path: string
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: Metrics
}

/** Specs in a file, by name. The file is read again when it changes; one that is wrong is refused as a whole. */
export class FixedSpecProvider implements SpecProvider {
  readonly prefix = "fixed"
  readonly #file: WatchedFile<ReadonlyMap<string, ImageSpec>>

  private constructor(file: WatchedFile<ReadonlyMap<string, ImageSpec>>) {
    this.#file = file
  }

  /** Rejects with an error that names file, line and path when the file cannot be used. */
  static async create({ path, clock, log, metrics }: FixedSpecsOptions): Promise<FixedSpecProvider> {
    const file = await WatchedFile.open({
      path,
      clock,
      parse: (text) => parseSpecs(path, text),
      onReload: () => {
        metrics.configReloads.inc({ result: "success" })
        log.info("reloading file after change", { path })
      },
      onFailure: (error) => {
        metrics.configReloads.inc({ result: "failure" })
        log.error("cannot use changed file, the old one stays in use", { path, error })
      },
    })
    return new FixedSpecProvider(file)
  }

  async resolve(name: string): Promise<ImageSpec | null> {
    return (await this.#file.current()).get(name) ?? null
  }

  close(): void {
    this.#file.close()
  }
}

/** Throws when any of the specs is wrong: half a file is worse than yesterday's. */
export function parseSpecs(path: string, content: string): ReadonlyMap<string, ImageSpec> {
  const text = read(path, content)
  const problems: Problem[] = [...findProblems(imageSpecsSchema, normalizeKeys(imageSpecsSchema, text.value))]
  if (problems.length > 0) throw documentError(path, text, problems)
  const specs = new Map<string, ImageSpec>()
  for (const [name, value] of Object.entries(text.value as object)) {
    if (!isRepositoryName(name))
      problems.push({ path: [name], message: "is no repository name: lower-case words, joined by . _ __ - and /" })
    try {
      specs.set(name, parseSpec(value, dirname(path)))
    } catch (error) {
      if (!(error instanceof SpecError)) throw error
      problems.push(...error.problems.map((problem) => ({ ...problem, path: [name, ...problem.path] })))
    }
  }
  if (problems.length > 0) throw documentError(path, text, problems)
  return specs
}

const documentError = (path: string, text: JsonText, problems: readonly Problem[]): DocumentError =>
  new DocumentError(
    path,
    text,
    problems.map((problem) => ({ ...problem, path: spelledPath(problem.path, text.value) })),
  )

function read(path: string, content: string): JsonText {
  try {
    return parseJsonText(content)
  } catch (cause) {
    throw new Error(`${path}: ${cause instanceof Error ? cause.message : cause}`, { cause })
  }
}
