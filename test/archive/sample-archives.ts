import { linkSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { tempDir } from "../helpers/temp-dir.ts"

export interface Sample {
  readonly name: string
  readonly bytes: Uint8Array
}

const LONG = `deep/${"long-directory-name/".repeat(9)}${"long-file-name-".repeat(8)}.txt`

/** Archives of one tree in every format that GNU tar writes. */
export function sampleArchives(): readonly Sample[] {
  const dir = tempDir()
  const put = (path: string, content: string) => {
    mkdirSync(dirname(join(dir, path)), { recursive: true })
    writeFileSync(join(dir, path), content)
  }
  put("a.txt", "alpha\n")
  put("empty", "")
  put("block", "b".repeat(512))
  put("dir/b.bin", "\0\x01\x02".repeat(700))
  put("dir/\u00fcml\u00e4ut.txt", "unicode\n")
  symlinkSync("../a.txt", join(dir, "dir/link"))
  linkSync(join(dir, "a.txt"), join(dir, "dir/hard"))
  const plain = ["v7", "ustar", "gnu", "pax"].map((format) => archive(dir, format))
  put(LONG, "long\n")
  symlinkSync("target/".repeat(20), join(dir, "long-link"))
  return [...plain, ...["gnu", "pax"].map((format) => ({ ...archive(dir, format), name: `${format}-long` }))]
}

function archive(dir: string, format: string): Sample {
  const command = [
    "tar",
    "-C",
    dir,
    "--sort=name",
    "--mtime=@1700000000",
    "--owner=0",
    "--group=0",
    `--format=${format}`,
    "-cf",
    "-",
    ".",
  ]
  const { exitCode, stdout, stderr } = Bun.spawnSync(command)
  if (exitCode !== 0) throw new Error(`tar failed: ${stderr}`)
  return { name: format, bytes: new Uint8Array(stdout) }
}

/** A small generator with a seed, so that every archive can be made again. */
function randomOf(seed: number): (below: number) => number {
  let state = (seed + 1) * 2654435761
  return (below) => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) % below
  }
}

const FIELDS = [
  { name: "name", at: 0, length: 100 },
  { name: "mode", at: 100, length: 8 },
  { name: "owner", at: 108, length: 8 },
  { name: "size", at: 124, length: 12 },
  { name: "time", at: 136, length: 12 },
  { name: "flag", at: 156, length: 1 },
  { name: "link", at: 157, length: 100 },
  { name: "magic", at: 257, length: 8 },
  { name: "prefix", at: 345, length: 155 },
] as const

const VALUES: readonly (string | Uint8Array)[] = [
  "",
  "\0",
  " ",
  "0",
  "7",
  "00000000010\0",
  "00000002000 ",
  "0000000001",
  "-1",
  "+1",
  "0x10",
  "  1 2",
  "9",
  "1 \x003",
  "77777777777",
  "/",
  "a/",
  "/abs",
  "../up",
  "./x",
  "x\0y",
  "dir",
  "dir/",
  "x".repeat(100),
  "ustar\x0000",
  "ustar  \0",
  "ustar",
  "USTAR",
  "x",
  "g",
  "L",
  "K",
  "S",
  "V",
  "1",
  "2",
  "5",
  "3",
  new Uint8Array([0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5]),
  new Uint8Array([0x80, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
  new Uint8Array([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe]),
  new Uint8Array([0xc3, 0xa4]),
]

/** One of the samples, changed in one place or a few; headers mostly keep a right checksum. */
export function mutated(
  samples: readonly Sample[],
  seed: number,
): { readonly bytes: Uint8Array; readonly how: string } {
  const random = randomOf(seed)
  const sample = samples[random(samples.length)]
  if (sample === undefined) throw new Error("There are no samples")
  let bytes = sample.bytes.slice()
  const how = [sample.name]
  for (let changes = 1 + random(2); changes > 0; changes -= 1) {
    const kind = random(10)
    const block = random(Math.floor(bytes.byteLength / 512)) * 512
    if (kind < 6) how.push(setField(bytes, block, random))
    else if (kind === 6) how.push(flip(bytes, random))
    else if (kind === 7) bytes = bytes.slice(0, random(bytes.byteLength))
    else if (kind === 8)
      bytes = Buffer.concat([bytes.subarray(0, block), new Uint8Array(512 * (1 + random(2))), bytes.subarray(block)])
    else bytes = Buffer.concat([bytes.subarray(0, block), bytes.subarray(block + 512)])
    if (kind > 6) how.push(`kind ${kind} at ${block}`)
    if (bytes.byteLength < 1024) break
  }
  return { bytes, how: how.join(", ") }
}

function flip(bytes: Uint8Array, random: (below: number) => number): string {
  const at = random(bytes.byteLength)
  bytes[at] = random(256)
  return `byte ${at}`
}

function setField(bytes: Uint8Array, block: number, random: (below: number) => number): string {
  const field = FIELDS[random(FIELDS.length)]
  const value = VALUES[random(VALUES.length)]
  if (field === undefined || value === undefined || bytes[block] === 0) return "nothing"
  const content = typeof value === "string" ? Buffer.from(value, "latin1") : value
  const isWhole = random(2) === 0
  if (isWhole) bytes.fill(0, block + field.at, block + field.at + field.length)
  bytes.set(content.subarray(0, field.length), block + field.at)
  sign(bytes, block)
  return `${field.name} of ${block} = ${JSON.stringify(value)}${isWhole ? "" : " over the old"}`
}

/** Writes the checksum that a header has to have. */
export function sign(bytes: Uint8Array, block: number): void {
  bytes.fill(0x20, block + 148, block + 156)
  const sum = bytes.subarray(block, block + 512).reduce((total, byte) => total + byte, 0)
  bytes.set(Buffer.from(`${sum.toString(8).padStart(6, "0")}\0 `), block + 148)
}
