import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test"
import { existsSync, readdirSync } from "node:fs"
import { join } from "node:path"
import { type FileServer, startFiles } from "../helpers/files.ts"
import { image } from "../helpers/images.ts"
import { writeLayout } from "../helpers/oci-layout.ts"
import { needs } from "../helpers/programs.ts"
import { rawLayer } from "../helpers/tar-entries.ts"
import { tempDir } from "../helpers/temp-dir.ts"
import { until } from "../helpers/until.ts"

setDefaultTimeout(60_000)

const required = needs("strace")
/** Too large to be sent from memory. */
const LARGE = "large ".repeat(20_000)
const FILES = [
  { name: "small", content: "small" },
  { name: "large", content: LARGE },
] as const

describe.skipIf(required.isMissing)(`a disk that does not confirm what it has taken${required.note}`, () => {
  const opened: { stop(): unknown }[] = []
  afterEach(async () => {
    for (const one of opened.splice(0).reverse()) await one.stop()
  })

  /** `fault` is what strace(1) injects where content gets its name. */
  async function start(fault: string) {
    const dir = tempDir()
    writeLayout(join(dir, "app"), "1", await image({ layers: [rawLayer(FILES)] }))
    const options = {
      mode: "binary",
      dir,
      blobserve: { repos: { "oci:app": { layers: "all" } }, timeout: "3s" },
    } as const
    const first = await startFiles(options)
    await until(() => existsSync(join(dir, "space/v1/layout")))
    await first.stop()
    const tracer = ["strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync", "-e", `inject=fsync:${fault}`]
    const names = Array.from({ length: 256 }, (_, at) => at.toString(16).padStart(2, "0"))
    const places = names.flatMap((name) => ["-P", join(dir, "space/v1/blobs/sha256", name)])
    const server = await startFiles({ ...options, wrapper: [...tracer, ...places] })
    opened.push(server)
    return server
  }

  /** Layers that the next process would know. */
  const known = ({ dir }: FileServer): readonly string[] => {
    const facts = join(dir, "space/v1/facts/scanned")
    return existsSync(facts) ? readdirSync(facts) : []
  }
  const scans = ({ logs }: FileServer) => logs.filter(({ message }) => message === "layer scanned").length

  test.each([
    ["for a while keeps nobody waiting", "delay_enter=5s"],
    ["at all is no reason to read a layer again", "error=EIO"],
  ])("%s", async (_, fault) => {
    const server = await start(fault)

    expect((await server.get("/oci:app:1/none")).status).toBe(404)
    expect(known(server)).toEqual([])
    await until(() => scans(server) === 1)
    expect(await server.text("/oci:app:1/small")).toBe("small")
    expect(await server.text("/oci:app:1/large")).toBe(LARGE)
    expect([known(server), scans(server)]).toEqual([[], 1])
  })
})
