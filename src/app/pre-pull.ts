import type { Files } from "../blobserve/files.ts"
import type { BlobserveConfig } from "../config/blobserve.ts"
import { isDigest } from "../oci/digest.ts"
import type { Platform } from "../oci/platform.ts"
import { errorText } from "../telemetry/log.ts"
import { imageNamed } from "./repositories.ts"
import type { Tools } from "./tools.ts"

export interface PrePullOptions {
  readonly files: Files
  readonly platform: Platform
  readonly tools: Tools
}

const CONDITION = "images to serve files of"

/** Reads what `prePull` lists, as often as it takes; until then the process is not ready. Never rejects. */
export async function prePull(config: BlobserveConfig, options: PrePullOptions, signal: AbortSignal): Promise<void> {
  const wanted = [...config.repos].flatMap(([repository, { layers, prePull: versions }]) =>
    versions.map((version) => ({ repository, layers, version })),
  )
  if (wanted.length === 0) return
  options.tools.readiness.failed(CONDITION, `${wanted.length} to be read, see "prePull"`)
  for (const { repository, layers, version } of wanted) {
    const named = isDigest(version) ? { tag: null, digest: version } : { tag: version, digest: null }
    const image = imageNamed(config, { repository, ...named })
    const query = { image, layers, platform: options.platform }
    await untilDone(() => options.files.indexes(query, signal), `${repository} ${version}`, options, signal)
  }
  if (!signal.aborted) options.tools.readiness.ok(CONDITION)
}

async function untilDone(
  work: () => Promise<unknown>,
  name: string,
  { tools }: PrePullOptions,
  signal: AbortSignal,
): Promise<void> {
  const { readiness } = tools
  const { clock, files } = tools.tuning
  while (!signal.aborted) {
    try {
      await work()
      tools.log.info("image is ready for serving its files", { image: name })
      return
    } catch (error) {
      if (signal.aborted) return
      readiness.failed(CONDITION, `${name} cannot be read, trying again: ${errorText(error)}`)
      await clock.sleep(files.prePullRetryMs, signal).catch(() => {})
    }
  }
}
