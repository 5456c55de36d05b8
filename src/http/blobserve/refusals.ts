import type { LayerPath } from "../../archive/layer-path.ts"
import type { LayerChoice } from "../../blobserve/files.ts"
import { RegistryError } from "../../oci/error.ts"
import { encodedPath } from "./encoding.ts"
import { type FileTarget, formatImage } from "./path.ts"

/** Begins as the original's answer does. */
export const forbidden = (repository: string): RegistryError =>
  new RegistryError("DENIED", `forbidden repo: ${repository}; list it in blobserve.repos`)

/** `path` is from the root of the image: a workdir that is wrong shows in it. */
export function noSuchFile(target: FileTarget, path: LayerPath, layers: LayerChoice): RegistryError {
  const reason =
    layers === "all"
      ? "the image has no such file"
      : 'its first layer has no such file; "layers": "all" serves all layers'
  return new RegistryError("BLOB_UNKNOWN", `Cannot find /${encodedPath(path)} in ${formatImage(target)}: ${reason}`)
}
