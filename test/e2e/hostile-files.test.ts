import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { readFileSync, truncateSync, writeFileSync } from "node:fs"
import { hostname } from "node:os"
import { join } from "node:path"
import { gzipSync, zstdCompressSync } from "node:zlib"
import { type FileServer, startFiles } from "../helpers/files.ts"
import { content, image, layer, OCI_LAYER, sha256, type TestLayer } from "../helpers/images.ts"
import { peakResidentBytes, residentBytes } from "../helpers/process-memory.ts"
import { needs, output } from "../helpers/programs.ts"
import { directory, hardlink, rawEntry, rawLayer, rawTar, symlink, whiteout } from "../helpers/tar-entries.ts"
import { tempDir } from "../helpers/temp-dir.ts"
import { until } from "../helpers/until.ts"
import { startUpstream, type UpstreamServer } from "../helpers/upstream-server.ts"

setDefaultTimeout(60_000)

const MIB = 1024 * 1024

/** Bytes that are sent as a layer, whatever they are. */
const sent = (bytes: Uint8Array, type = `${OCI_LAYER}+gzip`): TestLayer => ({
  ...content(type, new Uint8Array(bytes)),
  diffID: sha256("of no archive"),
})
const FINE = rawTar([{ name: "fine", content: "fine" }])
const bomb = rawTar([{ name: "zeros", content: new Uint8Array(300 * MIB) }])
/** A million and more, of which a few thousand are sent again and again. */
function millions(): Uint8Array {
  const many = gzipSync(
    Buffer.concat(Array.from({ length: 5000 }, (_, at) => rawEntry({ name: `${at}${Math.random()}` }))),
  )
  return Buffer.concat([...Array.from({ length: 201 }, () => many), gzipSync(new Uint8Array(1024))])
}

describe("an image that means harm, read by the binary", () => {
  let upstream: UpstreamServer
  let server: FileServer
  let images = 0

  beforeAll(async () => {
    upstream = startUpstream()
    server = await startFiles({
      mode: "binary",
      blobserve: { repos: { [`${upstream.host}/lab/x`]: { layers: "all" } } },
    })
  })
  afterAll(async () => {
    await server.stop()
    upstream.stop()
  })

  async function add(...layers: readonly TestLayer[]): Promise<(path: string) => Promise<Response>> {
    images += 1
    const tag = String(images)
    upstream.add("lab/x", tag, await image({ layers }))
    return async (path) => await server.get(`/${upstream.host}/lab/x:${tag}/${path}`)
  }
  const fine = async () =>
    expect(await (await (await add(await layer({ other: "fine" })))("other")).text()).toBe("fine")

  test.each<[string, () => TestLayer, RegExp]>([
    ["D6, D-18: a bomb of gzip", () => sent(gzipSync(bomb)), /200 times/],
    ["D6: a bomb of zstd", () => sent(zstdCompressSync(bomb), `${OCI_LAYER}+zstd`), /200 times/],
    ["D6, D-18: a million entries", () => sent(millions()), /1000000 entries|200 times/],
    ["D8: a second name for a directory", () => rawLayer([directory("d"), hardlink("l", "d")]), /directory/],
    [
      "D9: a size below zero",
      () => rawLayer([{ name: "pax", flag: "x", content: "12 size=-10\n" }, { name: "f" }]),
      /number/,
    ],
    [
      "D11: gzip with garbage behind it",
      () => sent(Buffer.concat([gzipSync(FINE), Buffer.from("garbage!")])),
      /compressed/,
    ],
    ["D11: gzip that is cut off", () => sent(gzipSync(FINE).subarray(0, -4)), /compressed/],
    [
      "D11: gzip with a wrong sum",
      () => sent(gzipSync(FINE).map((byte, at, all) => (at === all.length - 6 ? byte ^ 1 : byte))),
      /compressed/,
    ],
    [
      "D12: what is encrypted",
      () => sent(crypto.getRandomValues(new Uint8Array(4096)), `${OCI_LAYER}+gzip+encrypted`),
      /checksum|no number|no tar/,
    ],
    [
      "D12: xz, which no runtime takes",
      () => sent(Buffer.concat([Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0]), new Uint8Array(1000)])),
      /checksum|no number/,
    ],
  ])("%s is answered with the reason, and disturbs nobody", async (_, made, reason) => {
    const harm = await add(made(), await layer({ top: "top" }))

    expect(await (await harm("top")).text()).toBe("top")
    let answer = await harm("below")
    await until(async () => {
      if (answer.status === 503) answer = await harm("below") // it takes longer than a request waits
      return answer.status !== 503
    }, 40_000)
    expect([answer.status, answer.headers.get("cache-control")]).toEqual([502, "no-store"])
    expect(await answer.text()).toMatch(reason)
    await fine()
  })

  test("D6: a bomb takes no more memory than any layer", async () => {
    const before = residentBytes(server.pid)
    writeFileSync(`/proc/${server.pid}/clear_refs`, "5") // the most from now on (proc(5))
    const harm = await add(sent(gzipSync(rawTar([{ name: "zeros", content: new Uint8Array(400 * MIB) }]))))

    expect((await harm("zeros")).status).toBe(502)
    expect(peakResidentBytes(server.pid) - before).toBeLessThan(128 * MIB)
  })

  test("D7, D8, D-18, L1: no name and no link leads to a file of this machine", async () => {
    const secret = join(tempDir(), "secret")
    writeFileSync(secret, "a secret of this machine")
    const harm = await add(
      rawLayer([
        symlink("absolute", secret),
        symlink("up", `../../../../../../../..${secret}`),
        symlink("etc", "/etc"),
        symlink("proc", "/proc/self/environ"),
        symlink("self", "self"),
        symlink("a", "b"),
        symlink("b", "a"),
        hardlink("hard", secret),
        { name: "null", flag: "3" },
        { name: "pipe", flag: "6" },
        { name: `../../../../..${secret}.outside`, content: "inside" },
        { name: "C:\\windows", content: "a name as any other" },
        { name: "\xff\xfe", content: "bytes" },
        { name: "fine", content: "fine" },
      ]),
    )
    for (const path of [
      "absolute",
      "up",
      "etc/hostname",
      "proc",
      "self",
      "a",
      "hard",
      "null",
      "pipe",
      `..%2f..${secret}`,
    ]) {
      const answer = await harm(path)
      expect([path, answer.status >= 400 && answer.status < 500]).toEqual([path, true])
      expect(await answer.text()).not.toMatch(new RegExp(`a secret|${hostname()}`))
    }

    expect(await (await harm(`${secret.slice(1)}.outside`)).text()).toBe("inside")
    expect(await Bun.file(`${secret}.outside`).exists()).toBe(false)
    expect(await (await harm("C:%5Cwindows")).text()).toBe("a name as any other")
    expect(await (await harm("%FF%FE")).text()).toBe("bytes")
    expect(await (await harm("fine")).text()).toBe("fine")
    await fine()
  })

  test("D10: what an upper layer removes is not there, and what it brings is", async () => {
    const merged = await add(
      await layer({ "d/gone": "x", "d/kept": "kept", "o/hidden": "x", "w/below": "x" }),
      rawLayer([whiteout("d/gone"), { name: "o/.wh..wh..opq" }, { name: "o/new", content: "new" }, whiteout("w")]),
    )
    const statuses = async (...paths: readonly string[]) =>
      await Promise.all(paths.map(async (path) => (await merged(path)).status))

    expect(await statuses("d/gone", "o/hidden", "w/below", "d/.wh.gone", "o/.wh..wh..opq")).toEqual([
      404, 404, 404, 404, 404,
    ])
    expect([await (await merged("d/kept")).text(), await (await merged("o/new")).text()]).toEqual(["kept", "new"])
  })

  test("D11, D12: several members, zeros behind them, frames of zstd and no compression are all well", async () => {
    const [one, two] = [FINE.subarray(0, 300), FINE.subarray(300)]
    for (const made of [
      sent(Buffer.concat([gzipSync(one), gzipSync(two)])),
      sent(Buffer.concat([gzipSync(FINE), new Uint8Array(1000)])),
      sent(Buffer.concat([zstdCompressSync(one), zstdCompressSync(two)]), `${OCI_LAYER}+zstd`),
      sent(FINE, OCI_LAYER),
    ])
      expect(await (await (await add(made))("fine")).text()).toBe("fine")
  })

  const gnu = needs("tar")
  test.skipIf(gnu.isMissing).each([
    ["gnu", "0.0"],
    ["pax", "0.0"],
    ["pax", "0.1"],
    ["pax", "1.0"],
  ])(
    `D9: a sparse file, as GNU tar writes it in format %s, version %s, is refused as such${gnu.note}`,
    async (format, version) => {
      const dir = tempDir()
      writeFileSync(join(dir, "sparse"), "begin")
      truncateSync(join(dir, "sparse"), 8 * MIB)
      await output([
        "tar",
        "-C",
        dir,
        `--format=${format}`,
        "--sparse",
        `--sparse-version=${version}`,
        "-czf",
        join(dir, "t"),
        "sparse",
      ])
      const harm = await add(sent(readFileSync(join(dir, "t"))))

      const answer = await harm("sparse")
      expect([answer.status, await answer.text()]).toEqual([
        502,
        expect.stringContaining("sparse files are not supported"),
      ])
    },
  )

  test("L2, D-17: a transfer that breaks off anywhere leaves nothing wrong behind", async () => {
    const noise = crypto.getRandomValues(new Uint8Array(65_536))
    const big = Buffer.concat(Array.from({ length: 6 }, (_, at) => noise.map((byte) => byte ^ at)))
    for (let cut = 0; cut < 6; cut += 1) {
      const made = rawLayer([
        { name: "early", content: `early ${cut}` },
        { name: "big", content: big },
        { name: "late", content: `late ${cut}` },
      ])
      let isCut = true
      upstream.roles.push((request, { pathname }) => {
        if (request.method !== "GET" || !pathname.endsWith(made.digest) || !isCut) return null
        isCut = false
        return new Response(made.bytes.slice(0, cut * 65_536))
      })
      const get = await add(made)

      expect([await (await get("late")).text(), await (await get("early")).text()]).toEqual([
        `late ${cut}`,
        `early ${cut}`,
      ])
      expect(sha256(await (await get("big")).bytes())).toBe(sha256(big))
    }
  })
})
