import { describe, expect, setDefaultTimeout, test } from "bun:test"
import { mkdirSync } from "node:fs"
import { join } from "node:path"
import { KUBERNETES } from "../../deploy/kubernetes/generate.ts"
import { parseManifests, pick, podOf } from "../helpers/chart.ts"
import { BINARY } from "../helpers/facade.ts"
import { commandsUnder, ROOT, readPage } from "../helpers/markdown.ts"
import { needs, output } from "../helpers/programs.ts"
import { tempDir } from "../helpers/temp-dir.ts"

setDefaultTimeout(60_000)

const page = readPage("docs/install.md")

describe("docs/install.md", () => {
  const bash = needs("bash")
  test.skipIf(bash.isMissing)(`installs a unit whose configuration is valid${bash.note}`, async () => {
    const dir = tempDir()
    mkdirSync(join(dir, "var/lib/registry-facade"), { recursive: true })
    const [text = ""] = commandsUnder(page, "Under systemd")
    const script = text
      .replaceAll(/(?<![\w.])\/(usr|etc|var)\//g, `${dir}/$1/`)
      .replaceAll("dist/registry-facade", BINARY)
      .replaceAll(/^systemctl.*$/gm, "")
    const printed = await output(["bash", "-euc", script], { cwd: ROOT })

    expect(printed).toContain("is valid, and so are the 1 specs")
    const unit = await Bun.file(join(dir, "etc/systemd/system/registry-facade.service")).text()
    expect(unit).toBe(readPage("deploy/systemd/registry-facade.service"))
  })

  const openssl = needs("bash", "openssl")
  test.skipIf(openssl.isMissing)(`makes a certificate for the name that the chart uses${openssl.note}`, async () => {
    const dir = tempDir()
    const text = commandsUnder(page, "On Kubernetes")[0] ?? ""

    expect(await output(["bash", "-euc", text], { cwd: dir })).toContain("facade-tls/tls.crt: OK")
    const names = await output(["openssl", "x509", "-in", "facade-tls/tls.crt", "-noout", "-ext", "subjectAltName"], {
      cwd: dir,
    })
    expect(names).toContain("DNS:registry-facade.internal")
  })

  const helm = needs("bash", "helm")
  test.skipIf(helm.isMissing)(
    `shows a command of Helm that renders the chart with the values above it${helm.note}`,
    async () => {
      const text = commandsUnder(page, "On Kubernetes")[1] ?? ""
      const dir = tempDir()
      const script = text
        .replaceAll(/^kubectl (?:[^\\\n]|\\\n)*$/gm, "")
        .replaceAll("my-values.yaml", join(dir, "my-values.yaml"))
        .replace("helm upgrade --install", `helm template --kube-version ${KUBERNETES}`)
      const list = parseManifests(await output(["bash", "-euc", script], { cwd: ROOT }))

      expect(JSON.parse(pick(list, "ConfigMap", "-specs").data?.["specs.json"] ?? "")).toMatchObject({
        hello: { baseRef: "docker.io/library/debian:12" },
      })
      expect(podOf(pick(list, "DaemonSet")).spec.containers[0]?.image).toMatch(/^registry\.example\/registry-facade:\d/)
    },
  )

  test("names only values that the chart has", () => {
    const values: unknown = Bun.YAML.parse(readPage("deploy/helm/registry-facade/values.yaml"))
    const told = [...page.matchAll(/`((?:image|facade|blobserve|redis|kubo|serviceMonitor)\.(?!yaml)[A-Za-z.]+)`/g)]
    const names = told.map(([, name = ""]) => name)

    expect(names.length).toBeGreaterThan(8)
    expect(names.filter((name) => valueAt(values, name) === undefined)).toEqual([])
  })

  test("tells the ports, paths and user that the chart has", async () => {
    for (const name of ["namespace.yaml", "facade.yaml"])
      expect(await Bun.file(join(ROOT, "deploy/kubernetes", name)).exists()).toBe(true)
    const text = readPage("deploy/kubernetes/facade.yaml")
    for (const fact of ["31750", "/var/lib/registry-facade", "65532", "registry-facade.internal", "10%"]) {
      expect([fact, text.includes(fact)]).toEqual([fact, true])
    }
  })
})

const valueAt = (values: unknown, path: string): unknown =>
  path.split(".").reduce<unknown>((value, key) => (isObject(value) ? value[key] : undefined), values)

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null
