import { expect, setDefaultTimeout, test } from "bun:test"
import { symlinkSync } from "node:fs"
import { join } from "node:path"
import { engines } from "../../package.json" with { type: "json" }
import { ROOT, readPage } from "../helpers/markdown.ts"
import { output } from "../helpers/programs.ts"
import { tempDir } from "../helpers/temp-dir.ts"

setDefaultTimeout(120_000)

const dockerfile = readPage("Dockerfile")

test("the Dockerfile installs the Bun that the program is built with", () => {
  expect(/npx --yes bun@(\S+) install/.exec(dockerfile)?.[1]).toBe(engines.bun)
})

test("the Dockerfile knows every argument that it is to be built with", () => {
  const told = [dockerfile, readPage("docs/install.md")].flatMap((page) => [...page.matchAll(/--build-arg (\w+)=/g)])
  const known = [...dockerfile.matchAll(/^ARG (\w+)/gm)].map(([, name = ""]) => name)

  expect(told.map(([, name = ""]) => name)).toEqual(["COMMIT", "COMMIT"])
  expect(known).toEqual(["COMMIT"])
})

test("without a history, as in an image's build, the program has the commit that it is told", async () => {
  const dir = tempDir()
  for (const name of ["src", "deploy", "node_modules", "package.json", "bun.lock", "build.ts"])
    symlinkSync(join(ROOT, name), join(dir, name))
  await output([process.execPath, "build.ts"], { cwd: dir, env: { COMMIT: "0123456789ab" } })

  expect(await output([join(dir, "dist/registry-facade"), "version"])).toContain("(commit 0123456789ab, ")
})
