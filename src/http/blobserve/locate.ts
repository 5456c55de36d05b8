import { joinPath, type LayerPath } from "../../archive/layer-path.ts"
import type { FileQuery, Files, FoundFile } from "../../blobserve/files.ts"
import { type FileTarget, pathInImage } from "./path.ts"

export type Located =
  | { readonly kind: "file"; readonly file: FoundFile; readonly path: LayerPath }
  /** A directory with a page, asked for without the slash that its relative links need. */
  | { readonly kind: "needs-slash" }
  /** With the path that a file was looked for at. */
  | { readonly kind: "absent"; readonly path: LayerPath }

/** What a target names below `workdir`: a file, or the page of a directory. Directories are never listed. */
export async function locate(
  files: Files,
  query: FileQuery,
  { target, workdir }: { readonly target: FileTarget; readonly workdir: LayerPath },
  signal: AbortSignal,
): Promise<Located> {
  const path = pathInImage(`${workdir}/${target.path}`)
  const page = joinPath(path, "index.html")
  if (!target.isDirectory) {
    const found = await files.find(query, path, signal)
    if (found.kind === "file") return { kind: "file", file: found, path }
    if (found.kind === "absent") return { kind: "absent", path }
  }
  const found = await files.find(query, page, signal)
  if (found.kind !== "file") return { kind: "absent", path: page }
  return target.isDirectory ? { kind: "file", file: found, path: page } : { kind: "needs-slash" }
}
