import { describe, expect, test } from "bun:test"
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { FixedSpecProvider, parseSpecs } from "../../src/spec/fixed.ts"
import { createLogger } from "../../src/telemetry/log.ts"
import { createMetrics } from "../../src/telemetry/metrics.ts"
import { createFakeClock } from "../helpers/fake-clock.ts"
import { tempDir } from "../helpers/temp-dir.ts"
import { until } from "../helpers/until.ts"

const specs = (base: string) => JSON.stringify({ app: { baseRef: base }, "group/app": { base_ref: base } })

async function provide(path: string) {
  const logs: Record<string, unknown>[] = []
  const log = createLogger({
    format: "json",
    version: "test",
    level: () => "info",
    write: (line) => void logs.push(JSON.parse(line)),
  })
  const metrics = createMetrics()
  const clock = createFakeClock()
  const provider = await FixedSpecProvider.create({ path, clock, log, metrics })
  const reloads = async () => {
    const counted = (await metrics.configReloads.get()).values.filter(({ value }) => value > 0)
    return Object.fromEntries(counted.map(({ labels, value }) => [labels.result, value]))
  }
  const base = async (name = "app") => (await provider.resolve(name))?.baseText ?? null
  return { provider, clock, logs, reloads, base }
}

/** As the kubelet does it: the file is a link into a directory that is swapped as a whole. */
function kubernetesVolume(dir: string, text: string) {
  const write = (version: string, content: string) => {
    mkdirSync(join(dir, version))
    writeFileSync(join(dir, version, "specs.json"), content)
    symlinkSync(version, join(dir, "..data_tmp"))
    renameSync(join(dir, "..data_tmp"), join(dir, "..data"))
  }
  write("..v1", text)
  symlinkSync("..data/specs.json", join(dir, "specs.json"))
  return {
    path: join(dir, "specs.json"),
    update: (content: string) => {
      write("..v2", content)
      rmSync(join(dir, "..v1"), { recursive: true })
    },
  }
}

describe("FixedSpecProvider", () => {
  test("resolves names, also with slashes, and knows no others", async () => {
    const path = join(tempDir(), "specs.json")
    writeFileSync(path, specs("ubuntu:1"))
    const { provider, base } = await provide(path)

    expect([await base("app"), await base("group/app"), await base("group"), await base("toString")]).toEqual([
      "ubuntu:1",
      "ubuntu:1",
      null,
      null,
    ])
    expect(provider.prefix).toBe("fixed")
    provider.close()
  })

  test("follows a file that is written in place", async () => {
    const path = join(tempDir(), "specs.json")
    writeFileSync(path, specs("ubuntu:1"))
    const { provider, base, reloads, logs } = await provide(path)
    writeFileSync(path, specs("ubuntu:2"))

    expect(await base()).toBe("ubuntu:2")
    expect(await reloads()).toEqual({ success: 1 })
    expect(logs).toMatchObject([{ level: "info", message: "reloading file after change", path }])
    provider.close()
  })

  test("follows a volume of Kubernetes", async () => {
    const { path, update } = kubernetesVolume(tempDir(), specs("ubuntu:1"))
    const { provider, base, reloads } = await provide(path)

    expect(await base()).toBe("ubuntu:1")
    update(specs("ubuntu:2"))
    expect(await base()).toBe("ubuntu:2")
    expect(await reloads()).toEqual({ success: 1 })
    provider.close()
  })

  test("follows the file although nobody asks", async () => {
    const path = join(tempDir(), "specs.json")
    writeFileSync(path, specs("ubuntu:1"))
    const { provider, clock, reloads } = await provide(path)
    await until(() => clock.sleeping.length === 1)
    writeFileSync(path, specs("ubuntu:2"))
    clock.advance(1000)

    await until(async () => (await reloads())["success"] === 1)
    provider.close()
  })

  test.each([
    ["half written", '{ "app": { "baseRef": "ubu', ": line 1: unexpected end of string"],
    [
      "wrong",
      '{\n "app": { "baseRef": "ubuntu:2" },\n "b": { "bseRef": "x" } }',
      ':3: b.bseRef: unknown key, did you mean "baseRef"?',
    ],
    ["empty", "", ": line 1: expected JSON, the document is empty"],
  ])("a file that is %s leaves the old specs in use, and is told once", async (_, text, message) => {
    const path = join(tempDir(), "specs.json")
    writeFileSync(path, specs("ubuntu:1"))
    const { provider, base, reloads, logs } = await provide(path)
    writeFileSync(path, text)

    for (let asked = 0; asked < 10; asked += 1) expect(await base()).toBe("ubuntu:1")
    expect(await reloads()).toEqual({ failure: 1 })
    expect(logs).toHaveLength(1)
    expect(logs[0]).toMatchObject({
      level: "error",
      message: "cannot use changed file, the old one stays in use",
      path,
    })
    expect(logs[0]?.["error"]).toBe(`${path}${message}`)

    writeFileSync(path, specs("ubuntu:3"))
    expect(await base()).toBe("ubuntu:3")
    expect(await reloads()).toEqual({ failure: 1, success: 1 })
    provider.close()
  })

  test("does not start on a file that is missing or wrong", async () => {
    const path = join(tempDir(), "specs.json")

    await expect(provide(path)).rejects.toThrow(`Cannot read ${path}`)
    writeFileSync(path, '{"app": {}}')
    await expect(provide(path)).rejects.toThrow(`${path}:1: app.baseRef: is missing`)
  })
})

describe("parseSpecs()", () => {
  test.each([
    ['{\n"Upper": { "baseRef": "a" } }', "s.json:2: Upper: is no repository name"],
    ['{\n"a//b": { "baseRef": "a" } }', 's.json:2: ["a//b"]: is no repository name'],
    ['{\n"a": 5 }', "s.json:2: a: expected an object, got 5"],
    ['{\n"a": null }', "s.json:2: a: expected an object, got null"],
    ["[]", "s.json:1: (document): expected an object, got a list"],
    ['{\n"7": { "baseRef": "a",\n"x": 1 } }', 's.json:3: ["7"].x: unknown key'],
    ['{"a": {\n"base_ref":\n 7 } }', "s.json:2: a.base_ref: expected a string, got 7"],
    [
      '{"a": { "base_ref": "b",\n"content_layer": [\n{ "remote":\n{ "diff_id": [] } } ] } }',
      "s.json:4: a.content_layer[0].remote.diff_id: expected a string, got a list",
    ],
    [
      '{"a": { "base_ref": "b",\n"ide_layer_ref": [\n"c",\n"D" ] } }',
      's.json:4: a.ide_layer_ref[1]: Cannot parse image reference "D"',
    ],
    ['{"a": { "baseRef": "b" },\n"a": { "baseRef": "c" } }', "s.json: line 2: a stands twice"],
    ['{"a": { "baseRef": "b", }}', "s.json: line 1: "],
  ])("%j: %s", (text, message) => {
    expect(() => parseSpecs("s.json", text)).toThrow(message)
  })

  test("tells of all specs at once", () => {
    const text = '{\n"a": { "baseRef": "A" },\n"b": { "baseRef": "b" },\n"C": { "ideRef": "D" }\n}'

    expect(() => parseSpecs("s.json", text)).toThrow(
      /^s\.json:2: a\.baseRef: .*\ns\.json:4: C: .*\ns\.json:4: C\.baseRef: .*\ns\.json:4: C\.ideRef: .*$/,
    )
  })

  test("takes paths from the file's directory, and a byte order mark for what it is", () => {
    const found = parseSpecs("/srv/specs.json", '\uFEFF{"a":{"baseRef":"oci:base"},"b-1":{"baseRef":"scratch"}}')

    expect(found.get("a")?.base).toMatchObject({ dir: "/srv/base" })
    expect([...found.keys()]).toEqual(["a", "b-1"])
  })
})
