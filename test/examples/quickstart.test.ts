import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { baseLayout } from "../../examples/quickstart/make-base.ts"
import { showProgram } from "../../examples/quickstart/show-program.ts"
import { unpackBundle } from "../helpers/bundle.ts"
import { startContainerd } from "../helpers/containerd.ts"
import { describeDocker } from "../helpers/docker.ts"
import { eventually, needs, output, run } from "../helpers/programs.ts"
import { tempDir } from "../helpers/temp-dir.ts"

setDefaultTimeout(30_000)

const QUICKSTART = join(import.meta.dir, "../../examples/quickstart")
const PRINTED = `This file was added while the image was pulled.
This one comes from the directory examples/quickstart/notes.
Change it, pull again, and the image has changed.
Hello from an image that nobody has built.
`

interface Quickstart {
  readonly text: string
  readonly port: string
  readonly temp: string
  stop(): Promise<number>
}

/** Resolves when it has printed what to paste. */
async function start(port = "0"): Promise<Quickstart> {
  const temp = tempDir()
  const child = Bun.spawn([process.execPath, join(QUICKSTART, "start.ts")], {
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, PORT: port, TMPDIR: temp },
  })
  let text = ""
  for await (const chunk of child.stdout.pipeThrough(new TextDecoderStream())) {
    text += chunk
    if (text.includes("Ctrl-C")) break
  }
  const stop = async () => {
    child.kill("SIGINT")
    return await child.exited
  }
  return { text, port: /127\.0\.0\.1:(\d+)/.exec(text)?.[1] ?? "", temp, stop }
}

const pasted = (text: string, program: string): readonly string[] =>
  text.split("\n").filter((line) => line.startsWith(`  ${program} `))

describe("baseLayout()", () => {
  test("makes exactly the files that are in the repository", () => {
    const base = join(QUICKSTART, "base")
    const committed = readdirSync(base, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
    const made = baseLayout()

    expect(committed.map(({ name, parentPath }) => join(parentPath, name)).sort()).toEqual(
      [...made.keys()].map((path) => join(base, path)).sort(),
    )
    for (const [path, bytes] of made) {
      expect([path, Buffer.from(bytes).equals(readFileSync(join(base, path)))]).toEqual([path, true])
    }
  })
})

describe("the quickstart", () => {
  let quickstart: Quickstart

  beforeAll(async () => {
    quickstart = await start()
  })
  afterAll(async () => void (await quickstart.stop()))

  const curl = needs("curl", "tar")
  test.skipIf(curl.isMissing)(`prints commands for curl that work as they are${curl.note}`, async () => {
    const [tags, manifest, file, byPath, notes] = pasted(quickstart.text, "curl")

    expect(JSON.parse(await output(["sh", "-c", tags ?? ""]))).toEqual({ name: "fixed/hello", tags: ["latest"] })
    expect(JSON.parse(await output(["sh", "-c", manifest ?? ""])).manifests).toHaveLength(2)
    expect(await output(["sh", "-c", file ?? ""])).toBe("This file was added while the image was pulled.\n")
    expect(await output(["sh", "-c", byPath ?? ""])).toBe("This file was added while the image was pulled.\n")
    expect(await output(["sh", "-c", notes ?? ""])).toContain("This one comes from the directory")
  })

  const client = needs("root", "skopeo", "umoci", "runc")
  test.skipIf(client.isMissing)(`serves an image that prints what was added${client.note}`, async () => {
    const dir = tempDir()
    await output(["sh", "-c", pasted(quickstart.text, "skopeo")[0] ?? ""], { env: { TMPDIR: dir } })
    const bundle = await unpackBundle(join(dir, "hello"), "latest", join(dir, "bundle"))

    expect(await bundle.start()).toEqual({ code: 0, stdout: PRINTED, stderr: "" })
  })

  const runtime = needs("root", "containerd", "ctr")
  test.skipIf(runtime.isMissing)(`serves an image that containerd pulls as it is told${runtime.note}`, async () => {
    const containerd = await startContainerd()
    const [pull = ""] = pasted(quickstart.text, "ctr")[0]?.split("&&") ?? []

    expect(await output(["sh", "-c", pull], { env: containerd.env })).toContain("done")
    await containerd.stop()
  })

  describeDocker("its image", (runWithDocker) => {
    test("is pulled and run by docker as it is told", async () => {
      const { code, stdout } = await runWithDocker("sh", "-c", pasted(quickstart.text, "docker")[0] ?? "")

      expect([code, stdout.endsWith(PRINTED)]).toEqual([0, true])
    })
  })

  test("tells what to do when its port is taken", async () => {
    const { code, stderr } = await run([process.execPath, join(QUICKSTART, "start.ts")], {
      env: { PORT: quickstart.port },
    })

    expect(code).toBe(1)
    // The one that it would take for files may happen to be the other's, too
    const ports = [quickstart.port, String(Number(quickstart.port) + 1)]
    expect(ports).toContain(/Cannot listen on 127\.0\.0\.1:(\d+), it is taken/.exec(stderr)?.[1] ?? stderr)
    expect(stderr).toContain("PORT=31751 npx --yes bun start")
  })

  test("gives the same image every time it is started", async () => {
    const digest = async (port: string) =>
      (await fetch(`http://127.0.0.1:${port}/v2/fixed/hello/manifests/latest`)).headers.get("docker-content-digest")
    const again = await start()

    expect(await digest(again.port)).toBe(await digest(quickstart.port))
    expect(await again.stop()).toBe(0)
  })

  test("ends with Ctrl-C and leaves nothing behind", async () => {
    const one = await start()
    const kept = readdirSync(one.temp)

    expect(kept).toHaveLength(1)
    expect(await one.stop()).toBe(0)
    await eventually(async () => (readdirSync(one.temp).length === 0 ? true : null))
  })
})

const architecture = { x64: "amd64", arm64: "arm64" }[process.arch as string] as "amd64" | "arm64" | undefined
const isLinux = process.platform === "linux" && architecture !== undefined

describe.skipIf(!isLinux)(`showProgram()${isLinux ? "" : " (SKIPPED, needs Linux)"}`, () => {
  const dir = tempDir()
  const program = join(dir, "show")
  beforeAll(() => {
    writeFileSync(program, showProgram(architecture ?? "amd64"), { mode: 0o755 })
    writeFileSync(join(dir, "long"), "0123456789\n".repeat(5000))
    writeFileSync(join(dir, "short"), "short\n")
  })

  test.each([
    ["files, whatever their size, then the variable", ["long", "short"], { GREETING: "hi" }, "LONGshort\nhi\n"],
    ["no file that is missing", ["missing", "short"], { GREETING: "" }, "short\n\n"],
    ["no variable of a longer name", ["short"], { GREETINGS: "no", A: "GREETING=no" }, "short\n"],
    ["nothing when asked for nothing", [], {}, ""],
  ])("prints %s", async (_, args, env, printed) => {
    const child = Bun.spawn([program, ...args], { cwd: dir, env, stdout: "pipe" })

    expect(await new Response(child.stdout).text()).toBe(printed.replace("LONG", "0123456789\n".repeat(5000)))
    expect(await child.exited).toBe(0)
  })
})
