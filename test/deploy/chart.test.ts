import { beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { readdirSync } from "node:fs"
import { join } from "node:path"
import { renderManifests } from "../../deploy/kubernetes/generate.ts"
import { CHART, EVERYTHING, type Manifest, manifests, parseManifests, pick, podOf, template } from "../helpers/chart.ts"
import { ROOT, readPage } from "../helpers/markdown.ts"
import { needs, output } from "../helpers/programs.ts"

setDefaultTimeout(60_000)

const DIR = "deploy/kubernetes"
const files = readdirSync(join(ROOT, DIR)).filter((name) => name.endsWith(".yaml"))
const plain = files.flatMap((name) => parseManifests(readPage(`${DIR}/${name}`)))
const helm = needs("helm")

describe("deploy/kubernetes", () => {
  test.skipIf(helm.isMissing)(
    `is what the chart gives; write it with: bun ${DIR}/generate.ts${helm.note}`,
    async () => {
      const rendered = await renderManifests()

      expect(files.sort()).toEqual(Object.keys(rendered).sort())
      for (const [name, text] of Object.entries(rendered))
        expect([name, readPage(`${DIR}/${name}`)]).toEqual([name, text])
    },
  )

  describeManifests(() => plain)
})

describe("deploy/helm", () => {
  test.skipIf(helm.isMissing)(`passes helm lint${helm.note}`, async () => {
    expect(await output(["helm", "lint", "--strict", CHART])).toContain("0 chart(s) failed")
  })

  test.skipIf(helm.isMissing)(`refuses setup without TLS, and says what to do${helm.note}`, async () => {
    const { code, stderr } = await template({ facade: { tls: { secretName: "" } } })

    expect(code).not.toBe(0)
    expect(stderr).toContain("facade.setup.enabled needs facade.tls.secretName")
    expect(await manifests({ facade: { tls: { secretName: "" }, setup: { enabled: false } } })).not.toEqual([])
  })

  test.skipIf(helm.isMissing)(`replaces pods for a new configuration, not for new specs${helm.note}`, async () => {
    const checksum = async (facade: unknown) => {
      const { metadata } = podOf(pick(await manifests({ facade }), "DaemonSet"))
      return metadata.annotations?.["checksum/config"] ?? ""
    }
    const before = await checksum({})

    expect(before).toMatch(/^[0-9a-f]{64}$/)
    expect(await checksum({ specs: { other: { baseRef: "scratch" } } })).toBe(before)
    expect(await checksum({ config: { registry: { tagTTL: "10s" } } })).not.toBe(before)
  })

  test.skipIf(helm.isMissing)(`watches what its services have, with the Prometheus operator${helm.note}`, async () => {
    const list = await manifests({ serviceMonitor: { enabled: true } })
    const monitors = list.filter(({ kind }) => kind === "ServiceMonitor")

    expect(monitors.map(({ metadata }) => metadata.name)).toEqual([
      "rf-registry-facade-facade",
      "rf-registry-facade-blobserve",
    ])
    for (const { spec } of monitors) {
      const matching = list.filter(
        ({ kind, metadata }) =>
          kind === "Service" && isSubset(spec?.selector?.matchLabels ?? {}, metadata.labels ?? {}),
      )
      expect(matching).toHaveLength(1)
      expect(matching[0]?.spec?.ports?.map(({ name }) => name)).toEqual(["metrics"])
    }
    describeSelectors(list)
  })

  describe.skipIf(helm.isMissing)(`with everything${helm.note}`, () => {
    let list: readonly Manifest[] = []
    beforeAll(async () => {
      list = await manifests(EVERYTHING)
    })

    test("gives the facade a Redis and a Kubo node of its own", () => {
      const { containers } = podOf(pick(list, "DaemonSet")).spec

      expect(containers.map(({ name }) => name)).toEqual(["registry-facade", "kubo"])
      expect(pick(list, "Deployment", "-redis").spec?.template?.spec.containers[0]?.image).toContain("redis")
      // Whoever reaches Kubo's RPC port controls the node
      expect(containers.flatMap(({ ports = [] }) => ports.map(({ containerPort }) => containerPort))).not.toContain(
        5001,
      )
    })

    test("lets only facades reach Redis and the swarm", () => {
      const policies = list.filter(({ kind }) => kind === "NetworkPolicy")
      const rules = policies.flatMap(({ spec }) => spec?.ingress ?? [])
      const open = rules.filter((rule) => !("from" in rule)).flatMap(({ ports }) => ports.map(({ port }) => port))

      expect([...new Set(open)].sort()).toEqual(["http", "probes", "registry"])
    })

    test("has a script for Kubo that a shell understands", async () => {
      const script = pick(list, "ConfigMap", "-kubo").data?.["kubo.sh"] ?? ""

      await output(["sh", "-n", "-c", script])
      expect(script).toContain("exec ipfs daemon")
    })

    describeManifests(() => list)
  })
})

const isSubset = (part: Readonly<Record<string, string>>, whole: Readonly<Record<string, string>>): boolean =>
  Object.entries(part).every(([name, value]) => whole[name] === value)

/** Everything that selects pods finds some, and the ports that it names. */
function describeSelectors(list: readonly Manifest[]): void {
  const pods = list.flatMap(({ spec }) => (spec?.template === undefined ? [] : [spec.template]))
  for (const { kind, metadata, spec } of list) {
    if (kind === "ServiceMonitor") continue
    const labels = kind === "Service" ? spec?.selector : (spec?.podSelector?.matchLabels ?? spec?.selector?.matchLabels)
    if (labels === undefined) continue
    const found = pods.filter((pod) => isSubset(labels as Readonly<Record<string, string>>, pod.metadata.labels))
    const names = found.flatMap((pod) => pod.spec.containers.flatMap(({ ports = [] }) => ports.map(({ name }) => name)))
    const used = [
      ...(kind === "Service" ? (spec?.ports ?? []).map(({ targetPort }) => targetPort) : []),
      ...(spec?.ingress ?? []).flatMap(({ ports }) => ports.map(({ port }) => port)),
    ]
    expect([kind, metadata.name, found.length]).toEqual([kind, metadata.name, 1])
    expect([kind, metadata.name, used.filter((port) => !names.includes(port))]).toEqual([kind, metadata.name, []])
  }
}

/** What holds whatever the values are. */
function describeManifests(list: () => readonly Manifest[]): void {
  const pods = () => list().flatMap(({ spec }) => (spec?.template === undefined ? [] : [spec.template.spec]))

  test("selects the pods that are meant, by ports that they have", () => describeSelectors(list()))

  test("serves the facade on a port of each node, replaced a few nodes at a time", () => {
    const { spec } = pick(list(), "DaemonSet")
    const [facade] = podOf(pick(list(), "DaemonSet")).spec.containers

    expect(facade?.args).toEqual(["run", "/config/config.json"])
    expect(facade?.ports?.find(({ name }) => name === "registry")).toMatchObject({
      containerPort: 31750,
      hostPort: 31750,
    })
    expect(spec).toMatchObject({ updateStrategy: { type: "RollingUpdate", rollingUpdate: { maxSurge: 0 } } })
  })

  test("prepares the node first: the owner of the store, then containerd", () => {
    const { initContainers = [] } = podOf(pick(list(), "DaemonSet")).spec

    expect(initContainers.map(({ name }) => name)).toEqual(["store-owner", "setup"])
    expect(initContainers[0]?.command?.slice(0, 3)).toEqual(["chown", "65532:65532", "/store"])
    expect(initContainers[1]?.args).toEqual([
      "setup",
      "--hostname=registry-facade.internal",
      "--hostfs=/node",
      "--port=31750",
      "--ca=/tls/ca.crt",
    ])
  })

  test("runs everything without privileges, and as root only what prepares the node", () => {
    for (const pod of pods()) {
      expect(pod.automountServiceAccountToken).toBe(false)
      expect(pod.hostNetwork ?? false).toBe(false)
      expect(pod.securityContext).toMatchObject({
        runAsNonRoot: true,
        runAsUser: 65_532,
        seccompProfile: { type: "RuntimeDefault" },
      })
      for (const { name, securityContext } of [...pod.containers, ...(pod.initContainers ?? [])]) {
        const isRoot = securityContext?.runAsUser === 0
        expect([name, isRoot]).toEqual([name, ["store-owner", "setup"].includes(name)])
        expect(securityContext).toMatchObject({
          allowPrivilegeEscalation: false,
          readOnlyRootFilesystem: true,
          capabilities: { drop: ["ALL"] },
        })
        expect(securityContext?.capabilities?.add ?? []).toEqual(name === "store-owner" ? ["CHOWN"] : [])
      }
    }
  })

  test("mounts only volumes that are there, and all of them", () => {
    for (const pod of pods()) {
      const mounted = [...pod.containers, ...(pod.initContainers ?? [])].flatMap(({ volumeMounts = [] }) =>
        volumeMounts.map(({ name }) => name),
      )
      expect([...new Set(mounted)].sort()).toEqual((pod.volumes ?? []).map(({ name }) => name).sort())
    }
  })

  test("asks the probes of ours on the port that has them", () => {
    for (const pod of pods()) {
      for (const { args, ports, readinessProbe, livenessProbe } of pod.containers) {
        if (args?.[0] !== "run") continue
        expect(readinessProbe?.httpGet).toEqual({ path: "/ready", port: "probes" })
        expect(livenessProbe?.httpGet).toEqual({ path: "/live", port: "probes" })
        expect(ports?.find(({ name }) => name === "probes")?.containerPort).toBe(8086)
      }
    }
  })

  test("has blobserve with a budget for disruptions", () => {
    const deployment = pick(list(), "Deployment", "-blobserve")

    expect(deployment.spec).toMatchObject({ replicas: 2 })
    expect(pick(list(), "PodDisruptionBudget").spec?.selector?.matchLabels).toEqual(
      deployment.spec?.selector?.matchLabels ?? {},
    )
  })
}
