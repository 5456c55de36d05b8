import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { KUBERNETES } from "../../deploy/kubernetes/generate.ts"
import { ROOT } from "./markdown.ts"
import { type Outcome, run } from "./programs.ts"
import { tempDir } from "./temp-dir.ts"

export const CHART = join(ROOT, "deploy/helm/registry-facade")

export interface Labels {
  readonly [name: string]: string
}

export interface SecurityContext {
  readonly runAsUser?: number
  readonly runAsNonRoot?: boolean
  readonly privileged?: boolean
  readonly allowPrivilegeEscalation?: boolean
  readonly readOnlyRootFilesystem?: boolean
  readonly capabilities?: { readonly drop?: readonly string[]; readonly add?: readonly string[] }
}

export interface Container {
  readonly name: string
  readonly image: string
  readonly args?: readonly string[]
  readonly command?: readonly string[]
  readonly ports?: readonly { readonly name: string; readonly containerPort: number; readonly hostPort?: number }[]
  readonly securityContext?: SecurityContext
  readonly volumeMounts?: readonly { readonly name: string; readonly mountPath: string }[]
  readonly readinessProbe?: { readonly httpGet?: { readonly path: string; readonly port: string } }
  readonly livenessProbe?: { readonly httpGet?: { readonly path: string; readonly port: string } }
}

export interface Pod {
  readonly metadata: { readonly labels: Labels; readonly annotations?: Labels }
  readonly spec: {
    readonly containers: readonly Container[]
    readonly initContainers?: readonly Container[]
    readonly volumes?: readonly { readonly name: string }[]
    readonly securityContext: SecurityContext
    readonly terminationGracePeriodSeconds?: number
    readonly automountServiceAccountToken?: boolean
    readonly hostNetwork?: boolean
  }
}

/** Of Kubernetes, as far as tests read it. */
export interface Manifest {
  readonly kind: string
  readonly metadata: { readonly name: string; readonly labels?: Labels }
  readonly data?: Readonly<Record<string, string>>
  readonly spec?: {
    readonly selector?: Labels & { readonly matchLabels?: Labels }
    readonly podSelector?: { readonly matchLabels: Labels }
    readonly template?: Pod
    readonly ports?: readonly { readonly name: string; readonly targetPort: string }[]
    readonly ingress?: readonly { readonly ports: readonly { readonly port: string }[] }[]
  }
}

/** Lists of several documents, as `helm template` writes them. */
export function parseManifests(text: string): readonly Manifest[] {
  const parsed: unknown = Bun.YAML.parse(text)
  return [parsed].flat().filter((manifest): manifest is Manifest => manifest !== null)
}

/** With everything that can be turned on. */
export const EVERYTHING = {
  facade: { dockerAuth: { secretName: "pull" }, env: [{ name: "HTTPS_PROXY", value: "http://proxy:3128" }] },
  blobserve: { dockerAuth: { secretName: "pull" } },
  redis: { enabled: true, passwordSecret: { name: "redis" } },
  kubo: { enabled: true },
  image: { repository: "registry.example/facade", pullSecrets: ["own"] },
  networkPolicy: { metricsFrom: [{ namespaceSelector: { matchLabels: { name: "monitoring" } } }] },
}

/** What `helm template` gives for values. */
export async function template(values: unknown = {}): Promise<Outcome> {
  const file = join(tempDir(), "values.json")
  writeFileSync(file, JSON.stringify(values))
  return await run(["helm", "template", "rf", CHART, "--kube-version", KUBERNETES, "--values", file])
}

/** Rejects with what Helm says when it fails. */
export async function manifests(values: unknown = {}): Promise<readonly Manifest[]> {
  const { code, stdout, stderr } = await template(values)
  if (code !== 0) throw new Error(stderr)
  return parseManifests(stdout)
}

/** The one of a kind whose name ends like that. */
export function pick(list: readonly Manifest[], kind: string, ending = ""): Manifest {
  const found = list.filter((manifest) => manifest.kind === kind && manifest.metadata.name.endsWith(ending))
  if (found.length !== 1 || found[0] === undefined) throw new Error(`${found.length} of ${kind} ...${ending}`)
  return found[0]
}

export const podOf = ({ spec, metadata }: Manifest): Pod => {
  if (spec?.template === undefined) throw new Error(`${metadata.name} has no pods`)
  return spec.template
}
