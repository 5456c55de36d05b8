import { join } from "node:path"

/**
 * Writes the plain manifests, which are the chart with its default values, for those who don't use Helm:
 *
 *     bun deploy/kubernetes/generate.ts
 */
const CHART = join(import.meta.dir, "../helm/registry-facade")
/** What the chart is checked against. */
export const KUBERNETES = "1.33.0"
const PATH = `${process.env["PATH"]}:${join(import.meta.dir, "../../.cache/bin")}`
const TEMPLATES = {
  "facade.yaml": ["facade-config.yaml", "facade.yaml"],
  "blobserve.yaml": ["blobserve.yaml"],
  "network-policy.yaml": ["network-policy.yaml"],
} as const

const NAMESPACE = `# The facade has a port and directories of its node, which the stricter levels of Pod Security do not allow.
apiVersion: v1
kind: Namespace
metadata:
  name: registry-facade
  labels:
    pod-security.kubernetes.io/enforce: privileged
`

/** The files by name. Rejects with what Helm says when it fails; it has to be on the PATH, or built by the test command. */
export async function renderManifests(): Promise<Readonly<Record<string, string>>> {
  const files = Object.entries(TEMPLATES).map(async ([name, templates]) => {
    const shown = templates.flatMap((template) => ["--show-only", `templates/${template}`])
    return [name, await render([...shown])] as const
  })
  return { "namespace.yaml": NAMESPACE, ...Object.fromEntries(await Promise.all(files)) }
}

async function render(flags: readonly string[]): Promise<string> {
  const release = ["registry-facade", CHART, "--namespace", "registry-facade", "--kube-version", KUBERNETES]
  const helm = Bun.spawn(["helm", "template", ...release, ...flags], { stderr: "pipe", env: { ...process.env, PATH } })
  const [text, errors, code] = await Promise.all([
    new Response(helm.stdout).text(),
    new Response(helm.stderr).text(),
    helm.exited,
  ])
  if (code !== 0) throw new Error(`helm template failed: ${errors}`)
  return `# Written by deploy/kubernetes/generate.ts from deploy/helm/registry-facade\n${withoutHelm(text)}`
}

/** Without what only Helm reads, and with the namespace that Helm leaves to the command line. */
const withoutHelm = (text: string): string =>
  text
    .replaceAll(/^(?: *(?:app\.kubernetes\.io\/managed-by|helm\.sh\/chart):|# Source:).*\n/gm, "")
    .replaceAll(/^(metadata:\n)( {2}name:.*\n)/gm, "$1$2  namespace: registry-facade\n")

if (import.meta.main) {
  for (const [name, text] of Object.entries(await renderManifests())) await Bun.write(join(import.meta.dir, name), text)
}
