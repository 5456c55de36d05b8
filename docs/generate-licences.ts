import { join } from "node:path"
import { type Package, readPackages } from "../deploy/packages.ts"

/**
 * Writes docs/licences.md from the lockfile and the packages that are installed:
 *
 *     bun docs/generate-licences.ts
 */
const ROOT = join(import.meta.dir, "..")

export function generateLicences(): string {
  const { program, development } = readPackages(ROOT)
  return `# Licences

registry-facade is under the [Apache License 2.0](../LICENSE). What it uses is under licences of its own. This page is written
from \`bun.lock\` by \`bun docs/generate-licences.ts\`; why each dependency is there stands in [dependencies](decisions/dependencies.md).

The program also holds [Bun](https://bun.com), which is under the MIT licence and links JavaScriptCore (LGPL-2.0) and other libraries
statically; its own page of licences lists them.

## In the program

${table(program)}

## For building and testing alone

Besides these, some of them bring programs for single platforms.

${table(development)}
`
}

const table = (packages: readonly Package[]): string =>
  [
    "| package | version | licence |",
    "|---|---|---|",
    ...packages.map(({ name, version, licence }) => `| \`${name}\` | ${version} | ${licence} |`),
  ].join("\n")

if (import.meta.main) await Bun.write(join(import.meta.dir, "licences.md"), generateLicences())
