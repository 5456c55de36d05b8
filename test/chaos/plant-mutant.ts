import { readFileSync } from "node:fs"
import { join } from "node:path"
import { plugin } from "bun"
import { MUTANTS } from "./mutants.ts"

/** Preloaded: plants the bug that CHAOS_MUTANT names into the sources as they are loaded. */
const mutant = MUTANTS.find(({ name }) => name === process.env["CHAOS_MUTANT"])
if (mutant === undefined) throw new Error(`There is no mutant ${process.env["CHAOS_MUTANT"]}`)

const path = join(import.meta.dir, "../../src", mutant.file)
const contents = readFileSync(path, "utf8").replace(mutant.from, () => mutant.to)

plugin({
  name: "mutant",
  setup: (build) =>
    void build.onLoad({ filter: new RegExp(`${mutant.file.replaceAll("/", "\\/").replaceAll(".", "\\.")}$`) }, () => ({
      contents,
      loader: "ts",
    })),
})
