import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { symlinkSync } from "node:fs"
import { dirname, join } from "node:path"
import { type KubeApiserver, startKubeApiserver } from "../helpers/kube-apiserver.ts"
import { commandsUnder, ROOT, readPage } from "../helpers/markdown.ts"
import { findProgram, needs, output } from "../helpers/programs.ts"
import { tempDir } from "../helpers/temp-dir.ts"

setDefaultTimeout(180_000)

const page = readPage("docs/install.md")
const [certificates, withHelm, plain] = commandsUnder(page, "On Kubernetes")

const required = needs("bash", "openssl", "kubectl", "helm", "kube-apiserver-alone")
describe.skipIf(required.isMissing)(`the commands for Kubernetes, at a real API server${required.note}`, () => {
  const cwd = tempDir()
  let server: KubeApiserver
  beforeAll(async () => {
    server = await startKubeApiserver()
    symlinkSync(join(ROOT, "deploy"), join(cwd, "deploy"))
  })
  afterAll(async () => await server?.stop())

  const path = [dirname(findProgram("helm") ?? ""), process.env["PATH"]].join(":")
  const run = async (script = "false") =>
    await output(["bash", "-euc", script], { cwd, env: { PATH: path, HOME: cwd, KUBECONFIG: server.kubeconfig } })
  const names = async (kind: string) => await run(`kubectl -n registry-facade get ${kind} -o name`)

  test("install the chart, restart its pods, and remove it", async () => {
    await run(certificates)
    await run(withHelm)
    expect(await names("daemonset,configmap,secret")).toContain("daemonset.apps/registry-facade\n")
    expect(await run("kubectl -n registry-facade get configmap registry-facade-specs -o yaml")).toContain(
      "Composed while",
    )

    const [, restart = "false"] = /`(kubectl[^`]* rollout restart [^`]*)`/.exec(page) ?? []
    expect(await run(restart)).toContain("restarted")

    expect(page).toContain("`helm uninstall`")
    await run("helm uninstall registry-facade --namespace registry-facade")
    expect(await names("daemonset")).toBe("")
  })

  test("install the plain files", async () => {
    expect(await run(plain)).toContain("daemonset.apps/registry-facade created")
  })
})
