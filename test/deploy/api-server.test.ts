import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { readdirSync } from "node:fs"
import { join } from "node:path"
import { EVERYTHING, manifests, parseManifests, podOf } from "../helpers/chart.ts"
import { type KubeApiserver, type Resource, startKubeApiserver } from "../helpers/kube-apiserver.ts"
import { ROOT, readPage } from "../helpers/markdown.ts"
import { needs } from "../helpers/programs.ts"

setDefaultTimeout(180_000)

const DIR = "deploy/kubernetes"
const ACCEPTED = { message: "", warnings: [] }

const required = needs("kube-apiserver-alone")
describe.skipIf(required.isMissing)(`an API server of Kubernetes${required.note}`, () => {
  let server: KubeApiserver
  beforeAll(async () => {
    server = await startKubeApiserver()
    await applyAll(parseManifests(readPage(`${DIR}/namespace.yaml`)))
  })
  afterAll(async () => await server?.stop())

  /** What it says to each, by kind and name. */
  const applyAll = async (list: readonly unknown[], namespace = "registry-facade") => {
    const said: Record<string, unknown> = {}
    for (const resource of list as readonly Resource[]) {
      const { message, warnings } = await server.apply(resource, namespace)
      said[`${resource.kind} ${resource.metadata.name}`] = { message, warnings }
    }
    return said
  }
  const allAccepted = (list: readonly { readonly kind: string; readonly metadata: { readonly name: string } }[]) =>
    Object.fromEntries(list.map(({ kind, metadata }) => [`${kind} ${metadata.name}`, ACCEPTED]))

  test(`takes the files of ${DIR}`, async () => {
    const names = readdirSync(join(ROOT, DIR)).filter((name) => name.endsWith(".yaml"))
    const list = names.sort().flatMap((name) => parseManifests(readPage(`${DIR}/${name}`)))

    expect(list.length).toBeGreaterThan(5)
    expect(await applyAll(list)).toEqual(allAccepted(list))
  })

  const helm = needs("helm")
  test.skipIf(helm.isMissing)(`takes the chart with everything turned on${helm.note}`, async () => {
    const list = await manifests(EVERYTHING)

    expect(await applyAll(list)).toEqual(allAccepted(list))
  })

  test("admits their pods to the namespace as it is labelled, and blobserve's where least is allowed", async () => {
    const labels = { "pod-security.kubernetes.io/enforce": "restricted" }
    await applyAll([{ apiVersion: "v1", kind: "Namespace", metadata: { name: "strict", labels } }])
    const pods = ["facade", "blobserve"]
      .flatMap((name) => parseManifests(readPage(`${DIR}/${name}.yaml`)))
      .filter(({ spec }) => spec?.template !== undefined)
      .map((one) => ({ ...podOf(one), apiVersion: "v1", kind: "Pod", metadata: { name: one.metadata.name } }))

    expect(await applyAll(pods)).toEqual(allAccepted(pods))
    expect(await applyAll(pods, "strict")).toEqual({
      "Pod registry-facade": { message: expect.stringContaining("violates PodSecurity"), warnings: [] },
      "Pod registry-facade-blobserve": ACCEPTED,
    })
  })

  test("refuses a field that it does not know, so the tests above mean something", async () => {
    const wrong = { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "wrong" }, dta: {} }
    const { status, message } = await server.apply(wrong, "registry-facade")

    expect([status, message]).toEqual([expect.any(Number), expect.stringContaining("dta")])
    expect(status).toBeGreaterThanOrEqual(400)
  })
})
