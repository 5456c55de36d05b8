import { describe, expect, setDefaultTimeout, test } from "bun:test"
import { version } from "../../package.json" with { type: "json" }
import { BINARY } from "../helpers/facade.ts"
import { runBinary } from "../helpers/run-binary.ts"

// The compiled program is started several times, on machines that have more to do
setDefaultTimeout(30_000)

describe("registry-facade", () => {
  test("version tells version, commit and runtime", async () => {
    const { code, out, err } = await runBinary(["version"])

    expect(out).toMatch(
      new RegExp(`^registry-facade ${version} \\(commit [0-9a-f]{12}|unknown, bun ${Bun.version}\\)\n$`),
    )
    expect([code, err]).toEqual([0, ""])
  })

  test("holds the map that makes stacks in its log name the sources", async () => {
    const program = Buffer.from(await Bun.file(BINARY).arrayBuffer())

    expect(program.includes("src/config/load.ts")).toBe(true)
  })

  test.each([[["help"]], [["--help"]], [["-h"]], [["run", "--help"]], [["compose", "-h"]]])(
    "%j prints every command",
    async (args) => {
      const { code, out, err } = await runBinary(args)

      for (const command of [
        "run <config.json>",
        "compose <config.json> <name>",
        "config check",
        "config schema",
        "store stats|gc|verify",
        "ipfs status|reindex",
        "ipfs pin|unpin",
        "debug create-spec",
        "version, help",
      ])
        expect(out).toContain(command)
      expect([code, err]).toEqual([0, ""])
    },
  )

  test.each([
    [[], "missing command: run or setup or compose or config or store or ipfs or debug or version or help; see"],
    [["compse"], 'unknown command "compse", did you mean "compose"?'],
    [["xyzzy"], 'unknown command "xyzzy", known are run, setup, compose, config, store, ipfs, debug, version, help'],
    [["toString"], 'unknown command "toString", known are'],
    [["config"], 'missing command: config check or config schema; see "registry-facade help"'],
    [["config", "chekc"], 'unknown command "config chekc", did you mean "config check"?'],
    [["debug"], "missing command: debug create-spec"],
    [["debug", "create"], 'unknown command "debug create", did you mean "debug create-spec"?'],
    [["store", "stat", "x"], 'unknown command "store stat", did you mean "store stats"?'],
    [["run"], "missing argument <config.json>"],
    [["run", "a", "b"], 'unexpected argument "b"'],
    [["compose", "a"], "missing argument <name>"],
    [["compose", "a", "b", "--platfrom", "x"], "unknown option --platfrom, did you mean --platform?"],
    [["compose", "a", "b", "--platform"], "--platform"],
    [["compose", "a", "b", "--output", "x"], "is not oci:DIR or oci:DIR:TAG"],
    [["config", "schema", "x"], 'unexpected argument "x"'],
    [["debug", "create-spec", "--base", "x"], "unknown option --base, did you mean --base-ref?"],
  ])("%j is wrong usage", async (args, message) => {
    const { code, out, err } = await runBinary(args)

    expect(err).toStartWith("registry-facade: ")
    expect(err).toContain(message)
    expect([code, out]).toEqual([2, ""])
  })

  test.each([[["run", "/nowhere.json"]], [["compose", "/nowhere.json", "x"]], [["config", "check", "/nowhere.json"]]])(
    "%j fails with code 1",
    async (args) => {
      const { code, out, err } = await runBinary(args)

      expect(err).toStartWith("registry-facade: Cannot read configuration /nowhere.json: there is no such file")
      expect([code, out]).toEqual([1, ""])
    },
  )

  test.each(["-v", "--verbose", "-j", "--json-log", "--json-log=false", "-j=true"])(
    "%s may stand before and after the command, as the original's could",
    async (flag) => {
      expect((await runBinary([flag, "version"])).code).toBe(0)
      expect((await runBinary(["version", flag])).code).toBe(0)
    },
  )

  test("a slow reader gets everything", async () => {
    const layers = Array.from({ length: 4000 }, (_, number) => `--layer=image=ghcr.io/acme/layer-${number}:1`)
    const child = Bun.spawn(["sh", "-c", '"$0" "$@" | dd bs=1 2>/dev/null', BINARY, "debug", "create-spec", ...layers])
    const spec = JSON.parse(await new Response(child.stdout).text())

    expect(spec.layers).toHaveLength(4000)
  })

  test("a reader that has enough is no failure", async () => {
    const layers = Array.from({ length: 4000 }, (_, number) => `--layer=image=ghcr.io/acme/layer-${number}:1`)
    const child = Bun.spawn(
      ["sh", "-c", '{ "$0" "$@"; echo $? >&2; } | head -c 5', BINARY, "debug", "create-spec", ...layers],
      { stderr: "pipe" },
    )

    expect(await new Response(child.stderr).text()).toBe("0\n")
  })
})
