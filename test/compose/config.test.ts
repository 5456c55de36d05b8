import { describe, expect, test } from "bun:test"
import { composeConfig } from "../../src/compose/config.ts"
import type { ConfigEdit } from "../../src/layer/layer.ts"
import { printJson } from "../../src/oci/json.ts"
import { addedLayer, type BaseOptions, baseImage, NO_EDIT } from "../helpers/base-image.ts"

const compose = (base: BaseOptions, edit: Partial<ConfigEdit> = {}, layers = [addedLayer("a")]) =>
  printJson(composeConfig(baseImage(base).config, layers, { ...NO_EDIT, ...edit }))
const parsed = (...args: Parameters<typeof compose>) => JSON.parse(compose(...args))
const settings = (before: string, edit: Partial<ConfigEdit>) => {
  const { config } = parsed({ config: `"config":${before}` }, edit, [])
  return JSON.stringify(config)
}

describe("composeConfig()", () => {
  test("adds one diff_id and one history entry per layer, in order", () => {
    const layers = [addedLayer("a"), addedLayer("b"), addedLayer("a")]
    const config = '"created":"2024-01-02T03:04:05Z","history":[{"created_by":"base"}]'
    const { rootfs, history, created } = parsed({ config }, {}, layers)

    expect(rootfs.diff_ids.slice(1)).toEqual(layers.map(({ diffID }) => diffID))
    expect(history).toEqual([
      { created_by: "base" },
      ...["a", "b", "a"].map((name) => ({ created: "2024-01-02T03:04:05Z", created_by: `registry-facade: ${name}` })),
    ])
    expect(created).toBe("2024-01-02T03:04:05Z")
  })

  test("a change of settings gets one entry of its own, which is no layer", () => {
    const { history } = parsed({}, { user: "app", cmd: ["x"] })

    expect(history).toEqual([
      { created_by: "registry-facade: a" },
      { created_by: "registry-facade: config", empty_layer: true },
    ])
  })

  test.each([
    ["none", "", 2],
    ["null", '"history":null', 2],
    ["fewer than layers", '"history":[{"created_by":"one"}]', 3],
    ["more than layers", `"history":[${Array(9).fill('{"empty_layer":true}').join(",")}]`, 11],
  ])("invents no history for the base: %s", (_, config, expected) => {
    expect(parsed({ config, layers: 3 }, {}, [addedLayer("a"), addedLayer("b")]).history).toHaveLength(expected)
  })

  test("without layers and changes it stays as it was", () => {
    const config = '"history":null,"config":{"Env":["A=1"]},"x":1.50'

    expect(compose({ config }, { env: [{ op: "default", name: "A", value: "2" }] }, [])).toBe(
      compose({ config }, {}, []),
    )
    expect(compose({ config }, {}, [])).toEndWith(`,${config}}`)
  })

  test("a settings object is only made where something is set", () => {
    expect(parsed({ config: '"config":null' }).config).toBeNull()
    expect(parsed({ config: '"config":null' }, { user: "x" }).config).toEqual({ User: "x" })
    expect(parsed({})).not.toHaveProperty("config")
  })

  test.each([
    ['{"User":"a","Env":["A=1"]}', { user: "b" }, '{"User":"b","Env":["A=1"]}'],
    ['{"Cmd":["a"]}', { cmd: ["b", "c"] }, '{"Cmd":["b","c"]}'],
    ['{"Cmd":["a"],"Entrypoint":["e"]}', { entrypoint: ["f"] }, '{"Entrypoint":["f"]}'],
    ['{"Cmd":["a"],"Entrypoint":["e"]}', { entrypoint: ["f"], cmd: ["g"] }, '{"Entrypoint":["f"],"Cmd":["g"]}'],
    ['{"Cmd":["a"],"Entrypoint":["e"]}', { entrypoint: [""] }, '{"Cmd":["a"]}'],
    ['{"Entrypoint":null}', { entrypoint: ["e"] }, '{"Entrypoint":["e"]}'],
    ['{"WorkingDir":""}', { workingDir: "/w" }, '{"WorkingDir":"/w"}'],
    ['{"Labels":{"10":"x","a":"y"}}', { labels: { a: "z", b: "" } }, '{"10":"x","a":"z","b":""}'],
    ['{"Labels":null}', { labels: { a: "b" } }, '{"Labels":{"a":"b"}}'],
    ["{}", { labels: { a: "b" } }, '{"Labels":{"a":"b"}}'],
    ['{"Env":null}', { env: [{ op: "set", name: "A", value: "1" }] }, '{"Env":["A=1"]}'],
    ['{"Env":["B=2"],"User":"u"}', { env: [{ op: "set", name: "A", value: "1" }] }, '{"Env":["B=2","A=1"],"User":"u"}'],
  ] as [string, Partial<ConfigEdit>, string][])("%s with %j", (before, edit, expected) => {
    expect(settings(before, edit)).toContain(expected)
  })

  test("D-24: everything that composing does not change survives as it was written", () => {
    const kept = [
      '"config":{"Healthcheck":{"Test":["CMD","true"],"Interval":30000000000},"Shell":["/bin/sh","-c"],"OnBuild":["RUN x"],"ExposedPorts":{"80/tcp":{}},"Volumes":{"/data":{}},"StopSignal":"SIGQUIT","StopTimeout":10,"ArgsEscaped":true,"MacAddress":"","Memory":0,"Unknown":{"10":1,"2":2}}',
      '"container":"abc"',
      '"container_config":{"Cmd":["x"]}',
      '"docker_version":"26.1.5"',
      '"moby.buildkit.buildinfo.v1":"e30="',
      '"os.version":"10.0.1"',
      '"os.features":["win32k"]',
      '"author":"\\u00e9"',
      '"variant":"v8"',
      '"__proto__":{"a":1}',
      '"big":9007199254740993',
      '"huge":1e400',
      '"spelled":1.50',
      '"10":"ten"',
      '"2":"two"',
      '"nothing":null',
    ].join(",")

    expect(compose({ config: kept })).toContain(kept)
    const changed = compose({ config: kept }, { user: "app" })
    expect(changed.replace(',"User":"app"', "")).toContain(kept)
  })
})
