import type { LayerPath } from "../../archive/layer-path.ts"
import type { LayerChoice } from "../../blobserve/files.ts"
import type { Replacement } from "./rewrite.ts"

/** How the files of one repository are served. */
export interface ServedRepository {
  readonly layers: LayerChoice
  /** Where the paths of requests begin, inside the image. */
  readonly workdir: LayerPath
  /** By the path from the image's root. */
  readonly replacements: ReadonlyMap<LayerPath, readonly Replacement[]>
  readonly inlineStatic: readonly Replacement[]
  /** Origins whose pages may read the files; "*" is all. */
  readonly cors: readonly string[]
  /** False for a repository that nobody has listed: its pages run in a sandbox. */
  readonly isListed: boolean
}
