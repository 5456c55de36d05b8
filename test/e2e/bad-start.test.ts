import { describe, expect, setDefaultTimeout, test } from "bun:test"
import { readdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { BINARY, startFacade } from "../helpers/facade.ts"
import { run } from "../helpers/programs.ts"
import { tempDir } from "../helpers/temp-dir.ts"

setDefaultTimeout(30_000)

const CONFIG = JSON.stringify({ registry: { port: 0, host: "127.0.0.1", fixedSpecFN: "specs.json" } })

/** Documents line by line, so that the lines in messages can be counted. */
const lines = (...text: readonly string[]): string => text.join("\n")

async function start(files: Readonly<Record<string, string>>) {
  const dir = tempDir()
  for (const [name, text] of Object.entries(files)) writeFileSync(join(dir, name), text)
  const TMPDIR = tempDir()
  const { code, stderr } = await run(["timeout", "20", BINARY, "run", join(dir, "config.json")], { env: { TMPDIR } })
  return { code, stderr: stderr.replaceAll(`${dir}/`, ""), leftover: readdirSync(TMPDIR) }
}

describe("run", () => {
  test.each([
    [
      "an unknown key",
      lines("{", '  "hello": {', '    "baseRef": "scratch",', '    "layers": [{ "fil": "a.tar" }]', "  }", "}"),
      'specs.json:4: hello.layers[0].fil: unknown key, did you mean "file"?\n',
    ],
    [
      "two kinds of layer in one, and a bad reference",
      lines(
        "{",
        '  "hello": {',
        '    "baseRef": "No Image",',
        '    "layers": [',
        "      {",
        '        "file": "a.tar",',
      ).concat(lines("", '        "dir": "a"', "      }", "    ]", "  }", "}")),
      /^registry-facade: specs\.json:3: hello\.baseRef: .*"No Image".*\nspecs\.json:5: hello\.layers\[0\]: expected exactly one of .*\n$/,
    ],
    [
      "a name that is none",
      lines("{", '  "good": { "baseRef": "scratch" },', '  "Not Good": { "baseRef": "scratch" }', "}"),
      'specs.json:3: ["Not Good"]: is no repository name',
    ],
    ["a comma too many", lines("{", '  "hello": { "baseRef": "scratch" },', "}"), "specs.json: line 3: "],
    ["a key that stands twice", lines("{", '  "a": {},', '  "a": {}', "}"), "specs.json: line 3: a stands twice"],
    ["nothing", "", "specs.json: line 1: "],
  ])("refuses specs with %s, and says where", async (_, specs, message) => {
    const { code, stderr, leftover } = await start({ "config.json": CONFIG, "specs.json": specs })

    expect(stderr).toMatch(message)
    expect([code, leftover]).toEqual([1, []])
  })

  test.each([
    [
      "an unknown key",
      '{\n  "registry": {\n    "prot": 5000\n  }\n}',
      'config.json:3: registry.prot: unknown key, did you mean "port"?',
    ],
    [
      "a number as text",
      '{\n  "registry": { "port": "5000" }\n}',
      "config.json:2: registry.port: expected a whole number",
    ],
    [
      "a layer of no kind",
      '{ "registry": { "staticLayer": [\n{ "type": "tar", "ref": "a" }\n] } }',
      "config.json:2: registry.staticLayer[0].type: ",
    ],
    ["a comma too many", '{\n  "registry": {},\n}', "config.json: line 3: "],
    ["nothing to serve", "{}", 'expected "registry" or "blobserve"'],
  ])("refuses a configuration with %s, and says where", async (_, config, message) => {
    const { code, stderr } = await start({ "config.json": config })

    expect(stderr).toContain(message)
    expect(code).toBe(1)
  })

  test.each([
    ["the configuration", {}, "Cannot read configuration config.json: there is no such file"],
    ["the specs", { "config.json": CONFIG }, "Cannot read specs.json"],
  ])("names the file when %s is missing", async (_, files, message) => {
    const { code, stderr } = await start(files)

    expect(stderr).toContain(message)
    expect(code).toBe(1)
  })

  test("names the address when the port is taken", async () => {
    const other = await startFacade({ mode: "binary", specs: {} })
    const port = Number(other.host.split(":")[1])
    const taken = await start({ "config.json": JSON.stringify({ registry: { port, host: "127.0.0.1" } }) })
    await other.stop()

    expect(taken.stderr).toContain(`Cannot listen on 127.0.0.1:${port}, it is taken`)
    expect([taken.code, taken.leftover]).toEqual([1, []])
  })

  test("serves nobody, and leaves nothing behind, when the port for metrics is taken", async () => {
    const other = await startFacade({ mode: "binary", specs: {} })
    const config = { prometheusAddr: other.host, registry: { port: 0, host: "127.0.0.1" } }
    const taken = await start({ "config.json": JSON.stringify(config) })
    await other.stop()

    expect(taken.stderr).toContain(`Cannot listen on ${other.host}, it is taken`)
    expect(taken.stderr).not.toContain("registry server listening")
    expect([taken.code, taken.leftover]).toEqual([1, []])
  })
})
