import { describe, expect, setDefaultTimeout, test } from "bun:test"
import { specFromBase64 } from "../../src/spec/encoded.ts"
import { parseSpec } from "../../src/spec/parse.ts"
import { runBinary } from "../helpers/run-binary.ts"

// The compiled program is started several times, on machines that have more to do
setDefaultTimeout(30_000)

const DIGEST = `sha256:${"ab".repeat(32)}`
const createSpec = async (...args: readonly string[]) => await runBinary(["debug", "create-spec", ...args])

describe("debug create-spec", () => {
  test("prints a spec to begin with", async () => {
    const { code, out } = await createSpec()

    expect(JSON.parse(out)).toEqual({ baseRef: "docker.io/library/ubuntu:latest" })
    expect(out).toStartWith('{\n  "baseRef"')
    expect(code).toBe(0)
  })

  test("prints what its options say, in a form that can be parsed", async () => {
    const layers = ["image=tool:1", "tool:2", "file=a.tar", "dir=d", "dir=d:/opt", `url=https://x.io/a@b.tar@${DIGEST}`]
    const options = ["--base-ref=debian", "--ide-ref", "ide:1", "--supervisor-ref", "supervisor:1"]
    const { out } = await createSpec(...options, ...layers.flatMap((layer) => ["--layer", layer]))
    const spec = JSON.parse(out)

    expect(spec).toEqual({
      baseRef: "debian",
      ideRef: "ide:1",
      supervisorRef: "supervisor:1",
      layers: [
        { image: "tool:1" },
        { image: "tool:2" },
        { file: "a.tar" },
        { dir: "d" },
        { dir: "d", dest: "/opt" },
        { url: "https://x.io/a@b.tar", digest: DIGEST },
      ],
    })
    expect(parseSpec(spec, "/").layers).toHaveLength(8)
  })

  test("--base64 prints the original's protobuf", async () => {
    const { out, code } = await createSpec("--base64", "--base-ref", "alpine:latest", "--ide-ref", "ide:1")

    expect(out).toBe(`${Buffer.from("\n\ralpine:latest\x12\x05ide:1").toString("base64")}\n`)
    expect(specFromBase64(out.trim())).toEqual({ baseRef: "alpine:latest", ideRef: "ide:1" })
    expect(code).toBe(0)
  })

  test.each([
    [["--base64", "--layer", "tool:1"], "--base64 has no place for --layer"],
    [["--layer", "fil=a.tar"], 'cannot read layer "fil=a.tar", expected image=, file=, dir= or url='],
    [["--layer", "file="], 'cannot read layer "file="'],
    [["--layer", "url=https://x.io/a.tar"], "a url layer needs its digest"],
    [["extra"], 'unexpected argument "extra"'],
  ])("%j is wrong usage", async (args, message) => {
    const { code, out, err } = await createSpec(...args)

    expect(err).toContain(message)
    expect([code, out]).toEqual([2, ""])
  })
})
