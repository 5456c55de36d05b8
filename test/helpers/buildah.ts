import { writeFileSync } from "node:fs"
import { join } from "node:path"
import type { ConfigJson } from "./oci-layout.ts"
import { type Outcome, output, run } from "./programs.ts"
import { tempDir } from "./temp-dir.ts"

export interface Buildah {
  pull(reference: string, architecture?: string): Promise<Outcome>
  /** The config of an image that was pulled. */
  config(reference: string): Promise<ConfigJson>
  /** The directory where the files of an image that was pulled are to be seen. */
  mount(reference: string): Promise<string>
}

/** The tool that shares its libraries with Podman and CRI-O, with a storage of its own; needs root. */
export function createBuildah(): Buildah {
  const dir = tempDir()
  const policy = join(dir, "policy.json")
  writeFileSync(policy, JSON.stringify({ default: [{ type: "insecureAcceptAnything" }] }))
  const storage = ["--root", join(dir, "root"), "--runroot", join(dir, "run"), "--storage-driver", "vfs"]
  const buildah = ["buildah", ...storage]
  const trust = ["--signature-policy", policy]
  return {
    pull: async (reference, architecture) => {
      const only = architecture === undefined ? [] : ["--arch", architecture]
      return await run([...buildah, "pull", ...trust, "--tls-verify=false", ...only, `docker://${reference}`])
    },
    config: async (reference) => {
      const described = JSON.parse(await output([...buildah, "inspect", "--type", "image", reference]))
      return described.OCIv1
    },
    mount: async (reference) => {
      const name = (await output([...buildah, "from", ...trust, "--pull-never", reference])).trim()
      return (await output([...buildah, "mount", name])).trim()
    },
  }
}
