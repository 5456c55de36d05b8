import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { join } from "node:path"
import { type Containerd, startContainerd } from "../helpers/containerd.ts"
import { BINARY } from "../helpers/facade.ts"
import { freePort } from "../helpers/free-port.ts"
import { type Fence, fencesOf, ROOT, readPage } from "../helpers/markdown.ts"
import { needs, output } from "../helpers/programs.ts"
import { tempDir } from "../helpers/temp-dir.ts"

setDefaultTimeout(60_000)

const README = readPage("README.md")
const fences = fencesOf(README)
const example = fences.filter(({ heading }) => heading === "Five minutes with a real registry")

interface Step {
  readonly commands: string
  /** What the page says that they print. */
  readonly printed: string
}

/** Each block of commands with the output that follows it; the first builds the program, which is built already. */
function stepsOf(blocks: readonly Fence[]): readonly Step[] {
  return blocks.slice(1).flatMap(({ language, text }, index, rest) => {
    if (language !== "sh") return []
    const next = rest[index + 1]
    return [{ commands: text, printed: next?.language === "text" ? next.text : "" }]
  })
}

/** Programs that a block says it needs. */
const needed = (commands: string): readonly string[] => /^# needs (.*)/.exec(commands)?.[1]?.split(/, | and /) ?? []

describe("README.md", () => {
  test("shows the two commands on its first screen", async () => {
    const { scripts } = await Bun.file(join(ROOT, "package.json")).json()
    const commands = fences.find(({ language }) => language === "sh")?.text.split("\n") ?? []

    expect(README.split("\n").slice(0, 30).join("\n")).toContain("npx --yes bun run test")
    expect(commands.map((line) => line.replace(/\s+#.*/, ""))).toEqual([
      "npx --yes bun start",
      "npx --yes bun run test",
      "",
    ])
    expect(Object.keys(scripts)).toContain("start")
    expect(Object.keys(scripts)).toContain("test")
  })

  test("shows what the first of them prints", async () => {
    const [shown = ""] = fences.flatMap(({ language, text }) => (language === "text" ? [text] : []))
    const child = Bun.spawn([process.execPath, join(ROOT, "examples/quickstart/start.ts")], {
      stdio: ["ignore", "pipe", "inherit"],
      env: { ...process.env, PORT: "0", TMPDIR: tempDir() },
    })
    let printed = ""
    for await (const chunk of child.stdout.pipeThrough(new TextDecoderStream())) {
      printed += chunk
      if (printed.includes("Ctrl-C")) break
    }
    child.kill("SIGINT")
    await child.exited
    const lines = printed
      .replaceAll(/127\.0\.0\.1:\d+/g, "127.0.0.1:31750")
      .replaceAll(/ \(not installed.*\)/g, "")
      .split("\n")

    expect(shown.split("\n").filter((line) => !lines.includes(line))).toEqual([])
  })
})

describe("the example with a real registry", () => {
  let containerd: Containerd | null = null
  afterAll(async () => await containerd?.stop())

  const required = needs("bash", "docker-registry", "skopeo", "curl")
  test.skipIf(required.isMissing)(`works as it is pasted${required.note}`, async () => {
    const dir = join(tempDir(), "demo")
    const places: readonly (readonly [string, string])[] = [
      ["/tmp/facade-demo", dir],
      ["localhost:5000", `localhost:${freePort()}`],
      ["31751", String(freePort())],
      ["dist/registry-facade", BINARY],
    ]
    const placed = (text: string) => places.reduce((moved, [from, to]) => moved.replaceAll(from, to), text)
    const steps = stepsOf(example).filter(({ commands }) => !needs(...needed(commands)).isMissing)
    if (steps.some(({ commands }) => commands.includes("ctr "))) containerd = await startContainerd()
    const mark = crypto.randomUUID()
    const script = [
      "set -eu",
      "trap 'kill $(jobs -p) || true' EXIT",
      ...steps.map(({ commands }) => `${placed(commands)}echo ${mark}`),
    ]
    const out = await output(["bash", "-c", script.join("\n")], { cwd: ROOT, env: containerd?.env ?? {} })

    const printed = out.split(`${mark}\n`)
    expect(printed.pop()).toBe("")
    expect(printed).toHaveLength(steps.length)
    for (const [index, step] of steps.entries()) {
      if (step.commands.includes("ctr ")) expect(printed[index]).toContain("done")
      else expect(printed[index]).toBe(placed(step.printed))
    }
    expect(await Bun.file(join(dir, "config.json")).exists()).toBe(false)
  })
})
