import { describe, expect, test } from "bun:test"
import type { EnvEdit } from "../../src/layer/layer.ts"
import { formatReference } from "../../src/oci/reference.ts"
import { parseSpec } from "../../src/spec/parse.ts"

const DIR = "/srv/config"
const DIGEST = `sha256:${"ab".repeat(32)}`
const DIFF_ID = `sha256:${"cd".repeat(32)}`
const BASE = { baseRef: "ubuntu" }
const TAR_GZ = "application/vnd.oci.image.layer.v1.tar+gzip"

const layersOf = (layers: unknown) => parseSpec({ ...BASE, layers }, DIR).layers
const message = (value: unknown, dir: string | null = DIR): string => {
  try {
    parseSpec(value, dir)
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
  return "nothing is wrong"
}

describe("parseSpec()", () => {
  test("reads everything that a spec can say, in its final order", () => {
    const spec = parseSpec(
      {
        baseRef: "ghcr.io/acme/base:1",
        ideRef: "ghcr.io/acme/ide:1",
        supervisorRef: "ghcr.io/acme/supervisor:1",
        ideLayerRef: ["ghcr.io/acme/ide-layer:1", "", "ghcr.io/acme/ide-layer:2"],
        contentLayer: [
          { remote: { url: "https://x.io/c", digest: DIGEST, diffId: DIFF_ID, mediaType: TAR_GZ, size: 5 } },
          { direct: { content: "aGVsbG8=" } },
        ],
        layers: [
          { image: "tool:1" },
          { file: "layer.tar" },
          { dir: "../tool", dest: "/opt/tool" },
          { url: "https://x.io/u", digest: DIGEST },
          { files: { "/etc/motd": "text" } },
        ],
        annotations: { a: "b" },
        platforms: ["linux/amd64", "linux/arm64/v8"],
      },
      DIR,
    )

    expect(formatReference(spec.base)).toBe("ghcr.io/acme/base:1")
    expect(spec.baseText).toBe("ghcr.io/acme/base:1")
    expect(spec.layers.map((layer) => `${layer.kind} ${layer.text}`)).toEqual([
      "image ghcr.io/acme/ide:1",
      "image ghcr.io/acme/supervisor:1",
      "image ghcr.io/acme/ide-layer:1",
      "image ghcr.io/acme/ide-layer:2",
      "image tool:1",
      "file layer.tar",
      "dir ../tool to /opt/tool",
      "url url https://x.io/u",
      "files /etc/motd",
      "url url https://x.io/c",
      "direct content",
    ])
    expect(spec.annotations).toEqual({ a: "b" })
    expect(spec.platforms).toEqual([
      { os: "linux", architecture: "amd64" },
      { os: "linux", architecture: "arm64" },
    ])
  })

  test("snake_case means the same as lowerCamel", () => {
    const remote = { url: "https://x.io/c", digest: DIGEST }
    const camel = {
      baseRef: "a",
      ideRef: "b",
      supervisorRef: "c",
      ideLayerRef: ["d"],
      contentLayer: [{ remote: { ...remote, diffId: DIFF_ID, mediaType: TAR_GZ, size: "5" } }],
      layers: [{ ...remote, diffId: DIFF_ID, mediaType: TAR_GZ }],
      config: { workingDir: "/w", env: { prependPath: { PATH: "/a" }, appendPath: { PATH: "/b" } } },
    }
    const snake = {
      base_ref: "a",
      ide_ref: "b",
      supervisor_ref: "c",
      ide_layer_ref: ["d"],
      content_layer: [{ remote: { ...remote, diff_id: DIFF_ID, media_type: TAR_GZ, size: "5" } }],
      layers: [{ ...remote, diff_id: DIFF_ID, media_type: TAR_GZ }],
      config: { working_dir: "/w", env: { prepend_path: { PATH: "/a" }, append_path: { PATH: "/b" } } },
    }

    expect(parseSpec(snake, DIR)).toEqual(parseSpec(camel, DIR))
  })

  test("keys of maps are data, whatever they look like", () => {
    const spec = parseSpec(
      {
        ...BASE,
        annotations: { base_ref: "x", __proto__x: "y" },
        config: { labels: { working_dir: "l" }, env: { set: { prepend_path: "v" } } },
      },
      DIR,
    )

    expect(spec.annotations).toEqual({ base_ref: "x", __proto__x: "y" })
    expect(spec.edit.labels).toEqual({ working_dir: "l" })
    expect(spec.edit.env).toEqual([{ op: "set", name: "prepend_path", value: "v" }])
  })

  test("null is the same as absent", () => {
    const nothing = {
      ideRef: null,
      supervisorRef: null,
      ideLayerRef: null,
      contentLayer: null,
      layers: null,
      config: { env: null, entrypoint: null, cmd: null, user: null, workingDir: null, labels: null },
      annotations: null,
      platforms: null,
    }

    expect({ ...parseSpec({ ...BASE, ...nothing }, DIR), key: "" }).toEqual({ ...parseSpec(BASE, DIR), key: "" })
  })

  test("equal specs have equal keys, and others have others", () => {
    expect(parseSpec({ ...BASE }, DIR).key).toBe(parseSpec(BASE, DIR).key)
    expect(parseSpec({ base_ref: "ubuntu" }, DIR).key).toBe(parseSpec(BASE, DIR).key)
    expect(parseSpec({ ...BASE, annotations: { a: "b" } }, DIR).key).not.toBe(parseSpec(BASE, DIR).key)
    expect(parseSpec(BASE, "/elsewhere").key).not.toBe(parseSpec(BASE, DIR).key)
  })

  test("configuration changes are read in a fixed order", () => {
    const config = {
      env: {
        appendPath: { P: "/b" },
        prependPath: { P: "/a" },
        default: { D: "d" },
        set: { S: "s", T: "" },
        unset: ["U"],
      },
      entrypoint: ["/e"],
      cmd: ["c"],
      user: "1000",
      workingDir: "/w",
      labels: { l: "v" },
    }

    expect(parseSpec({ ...BASE, config }, DIR).edit).toEqual({
      env: [
        { op: "unset", name: "U" },
        { op: "set", name: "S", value: "s" },
        { op: "set", name: "T", value: "" },
        { op: "default", name: "D", value: "d" },
        { op: "before", name: "P", value: "/a", separator: ":" },
        { op: "after", name: "P", value: "/b", separator: ":" },
      ] as EnvEdit[],
      entrypoint: ["/e"],
      cmd: ["c"],
      user: "1000",
      workingDir: "/w",
      labels: { l: "v" },
    })
  })

  test("paths are relative to the spec's directory", () => {
    expect(
      layersOf([{ file: "a.tar" }, { file: "/abs/a.tar" }, { dir: "../d" }, { image: "oci:img:1" }]),
    ).toMatchObject([
      { kind: "file", path: "/srv/config/a.tar" },
      { kind: "file", path: "/abs/a.tar" },
      { kind: "dir", path: "/srv/d", dest: "/" },
      { kind: "image", reference: { kind: "layout", dir: "/srv/config/img", tag: "1" } },
    ])
    expect(parseSpec({ baseRef: "oci:../base" }, DIR).base).toMatchObject({ kind: "layout", dir: "/srv/base" })
  })

  test.each([
    [{ baseRef: "oci:base" }, "baseRef"],
    [{ ...BASE, ideRef: "oci:x" }, "ideRef"],
    [{ ...BASE, layers: [{ file: "a.tar" }] }, "layers.0"],
    [{ ...BASE, layers: [{ dir: "d" }] }, "layers.0"],
    [{ ...BASE, layers: [{ image: "oci:x" }] }, "layers.0"],
  ])("a spec from elsewhere cannot reach this machine's files: %j", (spec, path) => {
    expect(message(spec, null)).toBe(`${path}: a spec from a remote provider cannot use files of this machine`)
  })

  test("a spec from elsewhere may use everything else", () => {
    const layers = [{ image: "tool:1" }, { url: "https://x.io/u", digest: DIGEST }, { files: { a: "b" } }]

    expect(parseSpec({ ...BASE, layers, contentLayer: [{ direct: { content: "" } }] }, null).layers).toHaveLength(4)
  })
})

describe("parseSpec() tells what is wrong", () => {
  test.each([
    [{}, "baseRef: is missing"],
    [{ baseRef: "" }, "baseRef: is missing"],
    [{ baseRef: "UPPER" }, 'baseRef: Cannot parse image reference "UPPER"'],
    [{ baseRef: 5 }, "baseRef: expected a string, got 5"],
    [[], "spec: expected an object, got a list"],
    ["ubuntu", 'spec: expected an object, got "ubuntu"'],
    [{ ...BASE, base_ref: "debian" }, 'base_ref: unknown key, did you mean "baseRef"?'],
    [{ ...BASE, baseref: "debian" }, 'baseref: unknown key, did you mean "baseRef"?'],
    [{ ...BASE, desktopIdeRef: "x" }, "desktopIdeRef: unknown key, known are baseRef,"],
    [{ ...BASE, ideRef: "scratch" }, "ideRef: the empty image has no layers"],
    [{ ...BASE, ideLayerRef: ["ok", "not ok"] }, 'ideLayerRef.1: Cannot parse image reference "not ok"'],
    [{ ...BASE, ideLayerRef: "x" }, 'ideLayerRef: expected a list, got "x"'],
    [{ ...BASE, platforms: ["linux"] }, 'platforms.0: Cannot parse platform "linux"'],
    [{ ...BASE, platforms: "linux/amd64" }, "platforms: expected a list"],
    [{ ...BASE, annotations: { a: 1 } }, "annotations.a: expected a string, got 1"],
    [{ ...BASE, layers: [null] }, "layers.0: expected an object, got null"],
    [{ ...BASE, layers: [{}] }, 'expected exactly one of "image", "file", "dir", "files" and "url", got none'],
    [{ ...BASE, layers: [{ file: "a", dir: "b" }] }, "got file, dir"],
    [{ ...BASE, layers: [{ imgae: "x" }] }, 'layers.0.imgae: unknown key, did you mean "image"?'],
    [{ ...BASE, layers: [{ image: "x", dest: "/opt" }] }, 'layers.0: "dest" means nothing beside "image"'],
    [{ ...BASE, layers: [{ file: "x", digest: DIGEST }] }, 'layers.0: "digest" means nothing beside "file"'],
    [{ ...BASE, layers: [{ image: "" }] }, "layers.0: is missing"],
    [{ ...BASE, layers: [{ file: "" }] }, "layers.0: expected a path"],
    [{ ...BASE, layers: [{ file: "a\0b" }] }, "layers.0: expected a path"],
    [{ ...BASE, layers: [{ dir: "d", dest: "../x" }] }, 'layers.0: "dest" is "../x", expected a path like "/opt/tool"'],
    [{ ...BASE, layers: [{ dir: "d", dest: "/a/../../b" }] }, '"dest" is "/a/../../b", expected'],
    [{ ...BASE, layers: [{ dir: "d", dest: "." }] }, '"dest" is ".", expected'],
    [{ ...BASE, layers: [{ files: {} }] }, 'layers.0: "files" is empty'],
    [{ ...BASE, layers: [{ files: { "/": "" } }] }, '"/" is no path of a file, expected one like "/etc/motd"'],
    [{ ...BASE, layers: [{ files: { "": "" } }] }, '"" is no path of a file'],
    [{ ...BASE, layers: [{ files: { "../x": "" } }] }, '"../x" is no path of a file'],
    [{ ...BASE, layers: [{ files: { "a/../../x": "" } }] }, '"a/../../x" is no path of a file'],
    [{ ...BASE, layers: [{ files: { "a//b": "" } }] }, '"a//b" is no path of a file'],
    [{ ...BASE, layers: [{ files: { "./a": "" } }] }, '"./a" is no path of a file'],
    [{ ...BASE, layers: [{ files: { "a/": "" } }] }, '"a/" is no path of a file'],
    [{ ...BASE, layers: [{ files: { "a\0": "" } }] }, "is no path of a file"],
    [{ ...BASE, layers: [{ files: { a: "", "/a": "" } }] }, '"files" has the same path twice'],
    [{ ...BASE, layers: [{ files: { "/a": "", "/a/b": "" } }] }, '"a" is a file and a directory at once'],
    [{ ...BASE, layers: [{ files: { "/a": 1 } }] }, "layers.0.files./a: expected a string, got 1"],
    [{ ...BASE, layers: [{ url: "ftp://x", digest: DIGEST }] }, 'layers.0: "url" must be an http or https URL'],
    [{ ...BASE, layers: [{ url: "x", digest: DIGEST }] }, '"url" must be an http or https URL'],
    [{ ...BASE, layers: [{ url: "https://x.io" }] }, 'layers.0: Cannot parse digest ""'],
    [{ ...BASE, layers: [{ url: "https://x.io", digest: DIGEST, diffId: "x" }] }, 'Cannot parse diffID "x"'],
    [
      { ...BASE, layers: [{ url: "https://x.io", digest: DIGEST, mediaType: "tar" }] },
      '"mediaType" is "tar", which is no media type',
    ],
    [
      { ...BASE, layers: [{ url: "https://x.io", digest: DIGEST, size: -1 }] },
      "layers.0.size: expected a number of bytes, got -1",
    ],
    [
      { ...BASE, layers: [{ url: "https://x.io", digest: DIGEST, size: "5 MB" }] },
      'layers.0.size: expected a number of bytes, got "5 MB"',
    ],
    [
      { ...BASE, layers: [{ url: "https://x.io", digest: DIGEST, size: "9007199254740993" }] },
      '"size" is 9007199254740993, which no layer has',
    ],
    [{ ...BASE, contentLayer: [{}] }, 'contentLayer.0: expected either "remote" or "direct"'],
    [{ ...BASE, contentLayer: [{ remote: {}, direct: {} }] }, 'contentLayer.0: expected either "remote" or "direct"'],
    [{ ...BASE, contentLayer: [{ remote: { digest: DIGEST } }] }, 'contentLayer.0: "url" must be an http or https URL'],
    [{ ...BASE, contentLayer: [{ direct: { content: "a b" } }] }, 'contentLayer.0: "content" is not base64'],
    [{ ...BASE, contentLayer: [{ direct: { content: "abcde" } }] }, 'contentLayer.0: "content" is not base64'],
    [{ ...BASE, contentLayer: [{ direct: { content: "ab=c" } }] }, 'contentLayer.0: "content" is not base64'],
    [{ ...BASE, config: { env: { set: { "A=B": "" } } } }, 'config.env: "A=B" is no name of a variable'],
    [{ ...BASE, config: { env: { unset: [""] } } }, 'config.env: "" is no name of a variable'],
    [{ ...BASE, config: { env: { append: {} } } }, 'config.env.append: unknown key, did you mean "appendPath"?'],
    [{ ...BASE, config: { entrypoint: "sh" } }, 'config.entrypoint: expected a list, got "sh"'],
    [{ ...BASE, config: { workdir: "/" } }, 'config.workdir: unknown key, did you mean "workingDir"?'],
  ])("%j: %s", (spec, expected) => {
    expect(message(spec)).toContain(expected)
  })

  test("all at once", () => {
    expect(
      message({ baseRef: "UPPER", ideRef: "BAD", layers: [{}, { file: "x" }, { url: "x" }] }).split("; "),
    ).toHaveLength(4)
  })

  test("without repeating a secret", () => {
    const url = "https://me:hunter2@x.io/a?token=hunter2"
    const spec = parseSpec({ ...BASE, layers: [{ url, digest: DIGEST }] }, DIR)

    expect(spec.layers[0]?.text).toBe("url https://x.io/a?<redacted>")
    expect(message({ ...BASE, layers: [{ url, digest: "x" }] })).not.toContain("hunter2")
    expect(message({ baseRef: "me:hunter2@x.io/a" })).not.toContain("hunter2")
  })
})

describe("the size of a spec", () => {
  test("is limited in layers and platforms, so that nobody keeps us busy", () => {
    const layers = (count: number) => parseSpec({ ...BASE, layers: Array(count).fill({ files: { "/a": "" } }) }, null)
    const platforms = (count: number) => parseSpec({ ...BASE, platforms: Array(count).fill("linux/amd64") }, null)
    expect(layers(500).layers).toHaveLength(500)
    expect(() => layers(501)).toThrow("has 501 layers, the limit is 500")
    expect(() => platforms(65)).toThrow("platforms: has more than 64")
  })

  test("is limited in entries and in the length of paths", () => {
    const many = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, index) => [`k${index}`, "v"]))
    const labels = (count: number) =>
      parseSpec({ ...BASE, annotations: many(50_000), config: { labels: many(count) } }, null)
    expect(Object.keys(labels(50_000).annotations)).toHaveLength(50_000)
    expect(() => labels(50_001)).toThrow("has 100001 entries, the limit is 100000")

    const file = (path: string) => layersOf([{ files: { [path]: "" } }])
    expect(file(`/${"a/".repeat(2047)}f`)).toHaveLength(1)
    expect(() => file(`/${"a/".repeat(20_000)}f`)).toThrow("a path has 40002 characters, the limit is 4096")
  })

  test("does not make a message large", () => {
    const wrong = {
      ...BASE,
      ["x".repeat(1_000_000)]: 1,
      ...Object.fromEntries(Array.from({ length: 1000 }, (_, at) => [`key${at}`, 1])),
    }

    expect(message(wrong).length).toBeLessThan(20_000)
    expect(message(wrong)).toEndWith("; and 981 more")
  })
})

describe("layers of a spec", () => {
  test("a size may be a number, a text as protobuf prints it, or unknown", () => {
    const size = (value: unknown) => layersOf([{ url: "https://x.io", digest: DIGEST, size: value }])[0]

    expect([7, "7", 0, "0", undefined, null, "9007199254740991"].map((value) => size(value))).toMatchObject(
      [7, 7, null, null, null, null, 9007199254740991].map((bytes) => ({ size: bytes })),
    )
  })

  test.each([
    ["aGVsbG8=", "hello"],
    ["aGVsbG8", "hello"],
    ["-_-_", "\xfb\xff\xbf"],
    ["+/+/", "\xfb\xff\xbf"],
    ["", ""],
  ])("direct content %j is base64 of either alphabet", (content, expected) => {
    const [layer] = parseSpec({ ...BASE, contentLayer: [{ direct: { content } }] }, DIR).layers

    expect(layer).toMatchObject({ kind: "direct", content: new Uint8Array(Buffer.from(expected, "latin1")) })
  })

  test.each(["/", "", "/opt", "opt/tool", "/opt/tool/"])("dest may be %j", (dest) => {
    expect(layersOf([{ dir: "d", dest }])).toMatchObject([{ kind: "dir", dest }])
  })
})
