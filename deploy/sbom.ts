import { join } from "node:path"
import { type Package, readPackages } from "./packages.ts"

export interface SbomOptions {
  /** Of registry-facade. */
  readonly version: string
  readonly commit: string
}

const ROOT = join(import.meta.dir, "..")

/**
 * What the program is made of, as CycloneDX 1.6 in JSON (https://cyclonedx.org/docs/1.6/json/). The same sources give the
 * same bytes: it has no time and no serial number.
 */
export function makeSbom({ version, commit }: SbomOptions): string {
  const { program } = readPackages(ROOT)
  const subject = {
    type: "application",
    "bom-ref": `registry-facade@${version}`,
    name: "registry-facade",
    version,
    licenses: [{ license: { id: "Apache-2.0" } }],
    properties: [{ name: "commit", value: commit }],
  }
  const direct = program.filter(({ name }) => name in DEPENDENCIES).map(refOf)
  const document = {
    $schema: "http://cyclonedx.org/schema/bom-1.6.schema.json",
    bomFormat: "CycloneDX",
    specVersion: "1.6",
    version: 1,
    metadata: { component: subject },
    components: [runtime(), ...program.map(toComponent)],
    dependencies: [
      { ref: subject["bom-ref"], dependsOn: [runtime()["bom-ref"], ...direct] },
      ...program.map((entry) => ({ ref: refOf(entry), dependsOn: [...new Set(entry.needs.map(purlOf))].sort() })),
    ],
  }
  return `${JSON.stringify(document, null, 2)}\n`
}

/** Writes it to a file, beside the program that it describes. */
export async function writeSbom(file: string, options: SbomOptions): Promise<void> {
  await Bun.write(file, makeSbom(options))
}

const { dependencies: DEPENDENCIES } = await Bun.file(join(ROOT, "package.json")).json()

/** The program holds all of Bun. */
const runtime = () => ({
  type: "platform",
  "bom-ref": `pkg:npm/bun@${Bun.version}`,
  name: "bun",
  version: Bun.version,
  licenses: [{ license: { id: "MIT" } }],
  purl: `pkg:npm/bun@${Bun.version}`,
})

function toComponent(entry: Package) {
  const { name, version, licence, integrity } = entry
  const [, group, base = name] = /^(@[^/]+)\/(.+)$/.exec(name) ?? []
  const [algorithm = "", digest = ""] = integrity.split(/-(.*)/)
  const isExpression = / (?:OR|AND|WITH) /.test(licence)
  return {
    type: "library",
    "bom-ref": refOf(entry),
    ...(group === undefined ? {} : { group }),
    name: base,
    version,
    ...(algorithm === "sha512"
      ? { hashes: [{ alg: "SHA-512", content: Buffer.from(digest, "base64").toString("hex") }] }
      : {}),
    licenses: isExpression
      ? [{ expression: licence }]
      : [{ license: { [licence === "unknown" ? "name" : "id"]: licence } }],
    purl: refOf(entry),
  }
}

const refOf = ({ name, version }: Package): string => purlOf(`${name}@${version}`)

/** https://github.com/package-url/purl-spec: the @ of a scope is escaped, the one of the version is not. */
const purlOf = (id: string): string => `pkg:npm/${id.replace(/^@/, "%40")}`
