import { describe, expect, test } from "bun:test"
import fc from "fast-check"
import { editEnv } from "../../src/compose/env.ts"
import { readEnvEdits } from "../../src/layer/image.ts"
import type { EnvEdit } from "../../src/layer/layer.ts"
import { asString, type Json, toJson } from "../../src/oci/json.ts"

const list = (env: readonly unknown[]): readonly Json[] => env.map(toJson)
const texts = (env: readonly Json[]) => env.map((item) => asString(item))
const edited = (env: readonly string[], ...edits: readonly EnvEdit[]) => texts(editEnv(list(env), edits))

const set = (name: string, value: string): EnvEdit => ({ op: "set", name, value })
const preset = (name: string, value: string): EnvEdit => ({ op: "default", name, value })
const unset = (name: string): EnvEdit => ({ op: "unset", name })
const before = (name: string, value: string, separator = ":"): EnvEdit => ({ op: "before", name, value, separator })
const after = (name: string, value: string, separator = ":"): EnvEdit => ({ op: "after", name, value, separator })

describe("editEnv()", () => {
  test.each([
    ["A=1 B=2", [set("A", "9")], "A=9 B=2"],
    ["A=1 B=2", [set("C", "3")], "A=1 B=2 C=3"],
    ["A=1", [set("A", "")], "A="],
    ["A=1", [set("a", "2")], "A=1 a=2"],
    ["A=1 B=2", [preset("A", "9"), preset("C", "3")], "A=1 B=2 C=3"],
    ["A=", [preset("A", "9")], "A="],
    ["A=1 B=2 A=3", [unset("A")], "B=2"],
    ["A=1", [unset("B")], "A=1"],
    ["PATH=/usr/bin", [before("PATH", "/opt/bin")], "PATH=/opt/bin:/usr/bin"],
    ["PATH=/usr/bin", [after("PATH", "/opt/bin")], "PATH=/usr/bin:/opt/bin"],
    ["PATH=", [before("PATH", "/opt/bin"), after("PATH", "/x")], "PATH=/opt/bin:/x"],
    ["", [before("PATH", "/opt/bin")], "PATH=/opt/bin"],
    ["PATH=/usr/bin", [before("PATH", "/a:", ""), before("PATH", "/b:", "")], "PATH=/b:/a:/usr/bin"],
    ["A=x=y", [after("A", "=z", "")], "A=x=y=z"],
    ["A=1", [set("A", "2"), set("A", "3"), unset("A"), set("A", "4")], "A=4"],
  ] as [string, EnvEdit[], string][])("%s", (env, edits, expected) => {
    expect(edited(env.split(" ").filter(Boolean), ...edits).join(" ")).toBe(expected)
  })

  test("of several entries with one name the last counts, and one is left", () => {
    expect(edited(["A=1", "B=2", "A=3"], after("A", "4"))).toEqual(["B=2", "A=3:4"])
  })

  test("entries without a value, without a name, and of other kinds stay as they are", () => {
    const env = list(["A", "=x", "", 5, null, "B=1"])

    expect(texts(editEnv(env, [set("B", "2")]))).toEqual(["A", "=x", "", null, null, "B=2"])
    expect(editEnv(env, [set("B", "1")])).toEqual(env)
  })

  test("a name without a value is a variable that is empty", () => {
    expect(edited(["A"], after("A", "x"))).toEqual(["A=x"])
    expect(edited(["A"], preset("A", "x"))).toEqual(["A"])
  })

  test("an edit that changes nothing keeps the very entry, with its spelling", () => {
    const env = list(["A=1"])

    expect(editEnv(env, [set("A", "1"), preset("A", "2"), unset("B")])[0]).toBe(env[0] as Json)
  })

  test("edits never touch other variables, nor their order", () => {
    const name = fc.constantFrom("A", "B", "C", "PATH")
    const entry = fc.tuple(name, fc.string({ maxLength: 4 })).map((parts) => parts.join("="))
    const value = fc.string({ maxLength: 4 })
    const edit = fc.oneof(
      fc.tuple(name, value).map((parts) => set(...parts)),
      fc.tuple(name, value).map((parts) => preset(...parts)),
      fc.tuple(name, value).map((parts) => before(...parts)),
      fc.tuple(name, value).map((parts) => after(...parts)),
      name.map(unset),
    )
    fc.assert(
      fc.property(fc.array(entry), edit, (env, one) => {
        const others = (entries: readonly (string | null)[]) =>
          entries.filter((text) => !text?.startsWith(`${one.name}=`))
        const result = edited(env, one)

        expect(others(result)).toEqual(others(env))
        expect(edited(env, one)).toEqual(result)
      }),
    )
  })
})

describe("readEnvEdits()", () => {
  const applied = (env: readonly string[], addon: readonly string[]) => edited(env, ...readEnvEdits(addon))
  const DEFAULTS = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

  test("A-21: what the original's code image asks for, on an empty environment", () => {
    const addon = [
      DEFAULTS,
      "GITPOD_ENV_APPEND_PATH=/ide/bin:",
      "GITPOD_ENV_SET_EDITOR=code",
      "GITPOD_ENV_SET_VISUAL=code",
      "GITPOD_ENV_SET_GIT_EDITOR=code --wait",
    ]

    expect(applied([], addon)).toEqual(["PATH=/ide/bin:", "EDITOR=code", "VISUAL=code", "GIT_EDITOR=code --wait"])
  })

  test("A-22: what the original's theia image asks for; other variables do not leak", () => {
    const addon = [
      DEFAULTS,
      "GITPOD_BUILT_IN_PLUGINS=/theia/node_modules/.plugins",
      "GITPOD_ENV_APPEND_PATH=/ide/bin:",
      "GITPOD_ENV_SET_EDITOR=gp open -w",
      "GITPOD_ENV_SET_VISUAL=gp open -w",
      "GITPOD_ENV_SET_GIT_EDITOR=gp open -w",
    ]

    expect(applied([], addon)).toEqual([
      "PATH=/ide/bin:",
      "EDITOR=gp open -w",
      "VISUAL=gp open -w",
      "GIT_EDITOR=gp open -w",
    ])
  })

  test("C-7: APPEND puts its value in front, as every image in use relies on", () => {
    expect(applied(["PATH=/usr/bin"], ["GITPOD_ENV_APPEND_PATH=/ide/bin:"])).toEqual(["PATH=/ide/bin:/usr/bin"])
  })

  test.each([
    ["GITPOD_ENV_PREPEND_PATH=:/ide/bin", ["A=1", "PATH=/usr/bin:/ide/bin"]],
    ["GITPOD_ENV_SET_A=", ["A=", "PATH=/usr/bin"]],
    ["GITPOD_ENV_SET_A=x=y", ["A=x=y", "PATH=/usr/bin"]],
    ["GITPOD_ENV_APPEND_A=", ["A=1", "PATH=/usr/bin"]],
    ["GITPOD_ENV_SET_=x", ["A=1", "PATH=/usr/bin"]],
    ["GITPOD_ENV_SET_A", ["A=1", "PATH=/usr/bin"]],
    ["GITPOD_ENV_DROP_A=x", ["A=1", "PATH=/usr/bin"]],
    ["GITPOD_ENV_APPEND_NEW=x:", ["A=1", "PATH=/usr/bin", "NEW=x:"]],
    ["gitpod_env_set_A=2", ["A=1", "PATH=/usr/bin"]],
    ["A=2", ["A=1", "PATH=/usr/bin"]],
  ])("%s", (line, expected) => {
    expect(applied(["A=1", "PATH=/usr/bin"], [line])).toEqual(expected)
  })
})
