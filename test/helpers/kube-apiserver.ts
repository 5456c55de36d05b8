import { generateKeyPairSync } from "node:crypto"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { freePort } from "./free-port.ts"
import { eventually, startServer } from "./programs.ts"
import { tempDir } from "./temp-dir.ts"

/** An object as its file has it. */
export interface Resource {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: { readonly name: string; readonly namespace?: string }
}

export interface KubeAnswer {
  readonly status: number
  /** Why it was refused; empty: it was not. */
  readonly message: string
  /** What users are told besides. */
  readonly warnings: readonly string[]
}

export interface KubeApiserver {
  /** The file that tells kubectl and Helm where it is. */
  readonly kubeconfig: string
  /** As `kubectl apply --server-side --validate=strict` does. */
  apply(resource: Resource, namespace: string): Promise<KubeAnswer>
  stop(): Promise<void>
}

const TOKEN = crypto.randomUUID()
/** Besides waiting for its ports, it makes what every cluster has. */
const START_MS = 120_000

/** A real API server with an etcd of its own, and nothing that runs pods (test/programs/kubernetes). */
export async function startKubeApiserver(): Promise<KubeApiserver> {
  const dir = tempDir()
  const [port, etcd] = [freePort(), freePort()]
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 })
  writeFileSync(join(dir, "key.pem"), privateKey.export({ type: "pkcs1", format: "pem" }))
  writeFileSync(join(dir, "tokens"), `${TOKEN},admin,admin,"system:masters"\n`)
  const flags = [
    "--bind-address=127.0.0.1",
    `--secure-port=${port}`,
    `--cert-dir=${join(dir, "certificates")}`,
    `--service-account-key-file=${join(dir, "key.pem")}`,
    `--service-account-signing-key-file=${join(dir, "key.pem")}`,
    "--service-account-issuer=https://kubernetes.default.svc",
    `--token-auth-file=${join(dir, "tokens")}`,
    "--authorization-mode=RBAC",
    "--service-cluster-ip-range=10.0.0.0/24",
    "--disable-admission-plugins=ServiceAccount", // nobody makes the accounts
  ]
  const program = ["kube-apiserver-alone", join(dir, "etcd"), `http://127.0.0.1:${etcd}`, ...flags]
  const { stop } = await startServer(program, /Serving securely on/)
  const request = async (path: string, init: RequestInit = {}) =>
    await fetch(`https://127.0.0.1:${port}${path}`, {
      ...init,
      headers: { authorization: `Bearer ${TOKEN}`, ...init.headers },
      tls: { rejectUnauthorized: false },
    })
  await eventually(async () => ((await request("/readyz")).ok ? true : null), START_MS)
  const kubeconfig = join(dir, "kubeconfig")
  writeFileSync(kubeconfig, kubeconfigOf(`https://127.0.0.1:${port}`))
  return {
    kubeconfig,
    apply: async (resource, namespace) => {
      const path = `${await collectionOf(request, resource, namespace)}/${resource.metadata.name}`
      const answer = await request(`${path}?fieldManager=test&fieldValidation=Strict`, {
        method: "PATCH",
        headers: { "content-type": "application/apply-patch+yaml" },
        body: JSON.stringify(resource),
      })
      const { message }: { readonly message: string } = JSON.parse(await answer.text())
      const warnings = [...(answer.headers.get("warning") ?? "").matchAll(/299 - "((?:[^"\\]|\\.)*)"/g)]
      return {
        status: answer.status,
        message: answer.ok ? "" : message,
        warnings: warnings.map(([, text = ""]) => text),
      }
    },
    stop,
  }
}

const kubeconfigOf = (server: string): string =>
  JSON.stringify({
    apiVersion: "v1",
    kind: "Config",
    clusters: [{ name: "test", cluster: { server, "insecure-skip-tls-verify": true } }],
    users: [{ name: "admin", user: { token: TOKEN } }],
    contexts: [{ name: "test", context: { cluster: "test", user: "admin" } }],
    "current-context": "test",
  })

interface Listed {
  readonly resources?: readonly { readonly name: string; readonly kind: string; readonly namespaced: boolean }[]
}

/** The path that objects of a kind are below, as the server itself tells it. */
async function collectionOf(
  request: (path: string) => Promise<Response>,
  { apiVersion, kind, metadata }: Resource,
  namespace: string,
): Promise<string> {
  const group = apiVersion.includes("/") ? `/apis/${apiVersion}` : `/api/${apiVersion}`
  const listed: Listed = JSON.parse(await (await request(group)).text())
  const found = listed.resources?.find((one) => one.kind === kind && !one.name.includes("/"))
  if (found === undefined) throw new Error(`Kubernetes has no ${kind} in ${apiVersion}`)
  return found.namespaced
    ? `${group}/namespaces/${metadata.namespace ?? namespace}/${found.name}`
    : `${group}/${found.name}`
}
