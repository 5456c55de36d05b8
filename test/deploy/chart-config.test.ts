import { describe, expect, setDefaultTimeout, test } from "bun:test"
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { configSchema } from "../../src/config/schema.ts"
import { parseDuration } from "../../src/lib/duration.ts"
import { findProblems } from "../../src/lib/validate.ts"
import { createAuthority } from "../helpers/certificates.ts"
import { type Manifest, manifests, parseManifests, pick, podOf } from "../helpers/chart.ts"
import { ROOT, readPage } from "../helpers/markdown.ts"
import { needs } from "../helpers/programs.ts"
import { type Finished, runBinary } from "../helpers/run-binary.ts"
import { tempDir } from "../helpers/temp-dir.ts"

setDefaultTimeout(60_000)

const DIR = "deploy/kubernetes"
const names = readdirSync(join(ROOT, DIR)).filter((name) => name.endsWith(".yaml"))
const plain = names.flatMap((name) => parseManifests(readPage(`${DIR}/${name}`)))
const openssl = needs("openssl")
const helm = needs("helm", "openssl")

describe("configurations in deploy/kubernetes", () => {
  test.skipIf(openssl.isMissing)(`of the facade pass config check${openssl.note}`, async () => {
    expect(await check(plain)).toMatchObject({ code: 0, err: "" })
  })

  test("of blobserve pass config check, and are what the schema says", async () => {
    expect(await checkFiles(plain)).toMatchObject({ code: 0, err: "" })
    expect(findProblems(configSchema, JSON.parse(configOf(plain, "-blobserve")))).toEqual([])
  })
})

describe.skipIf(helm.isMissing)(`configurations that the chart makes${helm.note}`, () => {
  test.each([
    ["no TLS", { facade: { tls: { secretName: "" }, setup: { enabled: false } } }],
    ["its own Redis", { redis: { enabled: true } }],
    ["a Redis elsewhere", { redis: { enabled: true, addr: "redis.example:6380", username: "rf", useTLS: true } }],
    ["Kubo", { kubo: { enabled: true } }],
    ["keys of the user's", { facade: { config: { shutdown: { grace: "60s" }, registry: { tagTTL: "10s" } } } }],
    ["credentials for upstreams", { facade: { dockerAuth: { secretName: "pull" } } }],
    [
      "specs from elsewhere",
      { facade: { config: { registry: { remoteSpecProvider: [{ url: "https://specs.example/{id}" }] } } } },
    ],
    ["specs of the user's", { facade: { specs: { "team/tool": { baseRef: "scratch" } } } }],
  ])("with %s pass config check", async (_, values) => {
    expect(await check(await manifests(values))).toMatchObject({ code: 0, err: "" })
  })

  test.each([
    ["nothing set", {}],
    [
      "repositories",
      { config: { blobserve: { repos: { "docker.io/library/nginx": { layers: "all", prePull: ["1"] } } } } },
    ],
    ["credentials for upstreams", { dockerAuth: { secretName: "pull" } }],
  ])("of blobserve with %s pass config check", async (_, blobserve) => {
    expect(await checkFiles(await manifests({ blobserve }))).toMatchObject({ code: 0, err: "" })
  })

  test("of blobserve with a repository that no request names do not", async () => {
    const repos = { nginx: {} }
    const { code, err } = await checkFiles(await manifests({ blobserve: { config: { blobserve: { repos } } } }))

    expect([code, err.includes("docker.io/library/nginx")]).toEqual([1, true])
  })

  test("with a mistake of the user's do not", async () => {
    const { code, err } = await check(await manifests({ facade: { config: { registry: { tagTLT: "10s" } } } }))

    expect([code, err.includes('did you mean "tagTTL"')]).toEqual([1, true])
  })

  test("are merged, and the user's keys win", async () => {
    const values = { facade: { config: { prometheusAddr: ":1", registry: { storeMinFreeBytes: 5 } } } }
    const config = JSON.parse(configOf(await manifests(values), "rf-registry-facade"))

    expect(config).toMatchObject({ prometheusAddr: ":1", registry: { store: "/store", storeMinFreeBytes: 5 } })
  })

  test("leave pods the time that a shutdown takes", async () => {
    const list = await manifests()
    for (const [config, workload] of [
      [configOf(list, "rf-registry-facade"), pick(list, "DaemonSet")],
      [configOf(list, "-blobserve"), pick(list, "Deployment")],
    ] as const) {
      const { shutdown = { delay: "5s", grace: "300s" } } = JSON.parse(config)
      const seconds = (parseDuration(shutdown.delay) + parseDuration(shutdown.grace)) / 1000

      expect(podOf(workload).spec.terminationGracePeriodSeconds).toBeGreaterThan(seconds)
    }
  })
})

describe("the init container that sets up a node", () => {
  test.skipIf(openssl.isMissing)(`has arguments that do so, with what it has mounted${openssl.note}`, async () => {
    const node = tempDir()
    const { initContainers = [] } = podOf(pick(plain, "DaemonSet")).spec
    const { args = [], volumeMounts = [] } = initContainers.find(({ name }) => name === "setup") ?? {}
    const { path } = await createAuthority()
    const placed = args.map((arg) => arg.replace("=/node", `=${node}`).replace("=/tls/ca.crt", `=${path}`))
    for (const { mountPath } of volumeMounts.filter(({ mountPath }) => mountPath.startsWith("/node/"))) {
      const target = join(node, mountPath.slice("/node/".length))
      mkdirSync(dirname(target), { recursive: true })
      if (mountPath.endsWith("/hosts")) writeFileSync(target, "127.0.0.1 localhost\n")
      else mkdirSync(target)
    }

    expect(await runBinary(placed)).toMatchObject({ code: 0, err: "" })
    expect(await runBinary([...placed, "--check"])).toMatchObject({ code: 0, out: "nothing to do\n" })
    expect(readFileSync(join(node, "etc/hosts"), "utf8")).toContain("127.0.0.1 registry-facade.internal")
    const hosts = join(node, "etc/containerd/certs.d/registry-facade.internal:31750/hosts.toml")
    expect(readFileSync(hosts, "utf8")).toContain('server = "https://registry-facade.internal:31750"')
  })
})

const configOf = (list: readonly Manifest[], ending: string): string =>
  pick(list, "ConfigMap", ending).data?.["config.json"] ?? ""

/** What `config check` says of blobserve's configuration, with what its pods have mounted. */
async function checkFiles(list: readonly Manifest[]): Promise<Finished> {
  const dir = tempDir()
  for (const mount of ["store", "docker-auth"]) mkdirSync(join(dir, mount))
  writeFileSync(join(dir, "docker-auth/config.json"), '{ "auths": {} }')
  const config = configOf(list, "-blobserve")
    .replaceAll("/docker-auth/", `${dir}/docker-auth/`)
    .replaceAll('"/store"', `"${dir}/store"`)
  writeFileSync(join(dir, "config.json"), config)
  return await runBinary(["config", "check", join(dir, "config.json")])
}

/** What `config check` says of the facade's configuration, with what pods have mounted. */
async function check(list: readonly Manifest[]): Promise<Finished> {
  const dir = tempDir()
  for (const mount of ["specs", "store", "docker-auth"]) mkdirSync(join(dir, mount))
  const { crt, key } = await (await createAuthority()).issue("facade")
  const places = [
    ["/tls/tls.crt", crt],
    ["/tls/tls.key", key],
    ["/specs/", `${dir}/specs/`],
    ["/docker-auth/", `${dir}/docker-auth/`],
    ['"/store"', `"${dir}/store"`],
  ] as const
  const placed = places.reduce((text, [from, to]) => text.replaceAll(from, to), configOf(list, "registry-facade"))
  writeFileSync(join(dir, "config.json"), placed)
  writeFileSync(join(dir, "docker-auth/config.json"), '{ "auths": {} }')
  writeFileSync(join(dir, "specs/specs.json"), pick(list, "ConfigMap", "-specs").data?.["specs.json"] ?? "")
  return await runBinary(["config", "check", join(dir, "config.json")])
}
