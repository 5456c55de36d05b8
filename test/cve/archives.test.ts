import { describe, expect, test } from "bun:test"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { startFacade } from "../helpers/facade.ts"
import { sha256 } from "../helpers/images.ts"
import { tempDir } from "../helpers/temp-dir.ts"

// Advisories against readers of archives. Layers are never unpacked here: an archive is served as it is, or refused

interface Entry {
  readonly name: string
  readonly type?: string
  /** The 12 bytes of the size field. */
  readonly size?: Uint8Array
  readonly link?: string
  readonly content?: string
}

function header({ name, type = "0", size, link = "", content = "" }: Entry): Buffer {
  const block = Buffer.alloc(512)
  block.write(name.slice(0, 100), 0, "latin1")
  block.write("0000644\0", 100)
  block.write("0000000\0", 108)
  block.write("0000000\0", 116)
  block.write(`${content.length.toString(8).padStart(11, "0")}\0`, 124)
  if (size !== undefined) block.set(size, 124)
  block.write("00000000000\0", 136)
  block.fill(" ", 148, 156)
  block.write(type, 156)
  block.write(link.slice(0, 100), 157, "latin1")
  block.write("ustar\0" + "00", 257)
  const sum = block.reduce((total, byte) => total + byte, 0)
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148)
  return block
}

function archive(...entries: readonly Entry[]): Buffer {
  const parts = entries.flatMap((entry) => {
    const content = Buffer.from(entry.content ?? "", "latin1")
    return [header(entry), content, Buffer.alloc((512 - (content.length % 512)) % 512)]
  })
  return Buffer.concat([...parts, Buffer.alloc(1024)])
}

/** One record of an extended header: its length, a space, key=value, and a line break. */
function pax(records: Readonly<Record<string, string>>): Entry {
  const lines = Object.entries(records).map(([key, value]) => {
    const rest = ` ${key}=${value}\n`
    const length = [1, 2, 3, 4]
      .map((digits) => rest.length + digits)
      .find((total, index) => String(total).length === index + 1)
    return `${length}${rest}`
  })
  return { name: "PaxHeader", type: "x", content: lines.join("") }
}
const base256 = (...bytes: readonly number[]) => Uint8Array.from({ length: 12 }, (_, index) => bytes[index] ?? 0xff)
const file: Entry = { name: "file", content: "content" }

const ARCHIVES: Readonly<Record<string, Buffer>> = {
  "GHSA-vmf3-w455-68vh (tar): a size in an extended header": archive(pax({ size: "1024" }), file),
  "GHSA-vmf3-w455-68vh (tar): a size beyond all": archive(pax({ size: "9".repeat(30) }), file),
  "GHSA-8x88-c5mf-7j5w (tar): a negative size": archive({ name: "file", size: base256(0xff) }),
  "GHSA-8x88-c5mf-7j5w (tar): a negative size in an extended header": archive(pax({ size: "-512" }), file),
  "GHSA-w8wr-v893-vjvp (tar): a path that is a number": archive(pax({ path: "7" }), file),
  "GHSA-w8wr-v893-vjvp (tar): a record without end": archive(
    { name: "PaxHeader", type: "x", content: "999999 path=x\n" },
    file,
  ),
  "CVE-2024-28863 (tar): a path of very many directories": archive(pax({ path: "a/".repeat(100_000) }), file),
  "CVE-2018-20834, CVE-2026-26960, CVE-2026-23745 (tar): a link out of the image, and a file of its name": archive(
    { name: "link", type: "1", link: "../../../../etc/passwd" },
    { name: "link", content: "overwritten" },
  ),
  "CVE-2021-32803, CVE-2025-45582 (tar): a symlink, and a file below it": archive(
    { name: "out", type: "2", link: "/tmp" },
    { name: "out/registry-facade-was-here", content: "x" },
  ),
  "CVE-2021-32804, CVE-2026-29786 (tar): an absolute path": archive({
    name: "/etc/registry-facade-was-here",
    content: "x",
  }),
  "CVE-2021-21272 (ORAS), CVE-2024-12905 (tar-fs): a path upwards": archive({
    name: "../../../../tmp/registry-facade-was-here",
    content: "x",
  }),
  "CVE-2026-31802 (tar): a drive": archive({ name: "C:..\\evil", content: "x" }),
}

describe("an archive as a layer", () => {
  test.each(Object.entries(ARCHIVES))(
    "%s: it is served byte by byte, or refused, and nothing of it is unpacked",
    async (_, bytes) => {
      const dir = tempDir()
      writeFileSync(join(dir, "layer.tar"), bytes)
      const facade = await startFacade({ dir, specs: { app: { baseRef: "scratch", layers: [{ file: "layer.tar" }] } } })
      const answer = await facade.get("/v2/fixed/app/manifests/latest")
      if (answer.status === 200) {
        const blob = await facade.get(`/v2/fixed/app/blobs/${sha256(bytes)}`)
        expect([blob.status, sha256(new Uint8Array(await blob.arrayBuffer()))]).toEqual([200, sha256(bytes)])
      } else {
        expect(answer.status).toBe(500)
        expect(await answer.text()).toContain("Cannot add layer file layer.tar")
      }
      expect((await facade.get("/v2/")).status).toBe(200)
      await facade.stop()
      for (const path of ["/tmp/registry-facade-was-here", "/etc/registry-facade-was-here"])
        expect(await Bun.file(path).exists()).toBe(false)
    },
  )
})
