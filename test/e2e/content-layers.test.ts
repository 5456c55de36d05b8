import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { type RunningFacade, startFacade } from "../helpers/facade.ts"
import { image, layer, OCI_LAYER, OCI_MANIFEST, sha256, type TestImage, type TestLayer } from "../helpers/images.ts"
import { rawEntry } from "../helpers/tar-entries.ts"
import { startUpstream, type UpstreamServer } from "../helpers/upstream-server.ts"

setDefaultTimeout(30_000)

/** As the original's content service wrote them: two directories and a file, of the user of workspaces. */
function contentLayer(file: string, text: string): Uint8Array {
  const owned = (name: string, flag: string, content: string): Uint8Array => {
    const entry = Buffer.from(rawEntry({ name, flag, content, mode: 0o755 }))
    entry.write("0101065\0", 108)
    entry.write("0101065\0", 116)
    entry.write("0000000\x000000000\0", 329)
    entry.write("        ", 148)
    const sum = entry.subarray(0, 512).reduce((total, byte) => total + byte, 0)
    entry.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148)
    return entry
  }
  const directories = ["/workspace", "/workspace/.gitpod"].map((name) => owned(name, "5", ""))
  return Buffer.concat([...directories, owned(`/workspace/.gitpod/${file}`, "0", text), new Uint8Array(1024)])
}

const FROM_GIT = contentLayer(
  "content.json",
  '{"req":{"git":{"remoteUri":"somewhere-else","targetMode":"LOCAL_BRANCH","cloneTaget":"head","checkoutLocation":"/foo","config":{}}}}',
)
const FROM_BACKUP = contentLayer("content.json", '{"fromBackupURL":"https://somewhere-else.com/backup.tar"}')
const READY = contentLayer("ready", '{"source":"from-backup","metrics":null}')

const direct = (content: Uint8Array) => ({ direct: { content: Buffer.from(content).toString("base64") } })

describe("layers with a workspace's content, from the binary", () => {
  let upstream: UpstreamServer
  let facade: RunningFacade
  let base: TestImage
  let backup: TestLayer

  beforeAll(async () => {
    upstream = startUpstream()
    base = await image()
    backup = await layer({ "workspace/file": "kept" })
    upstream.add("lab/base", "1", base)
    upstream.roles.push((_, { pathname, searchParams }) =>
      pathname !== "/bucket/backup"
        ? null
        : searchParams.get("signature") === "right"
          ? new Response(backup.bytes)
          : new Response("no", { status: 403 }),
    )
    const baseRef = `${upstream.host}/lab/base:1`
    const { digest, diffID: diffId, mediaType, size } = backup
    const remote = { url: `${upstream.url}bucket/backup?signature=right`, digest, diffId, mediaType, size }
    const wrong = { ...remote, digest: sha256("other") }
    const specs = {
      git: { baseRef, contentLayer: [direct(FROM_GIT)] },
      backup: { baseRef, contentLayer: [direct(FROM_BACKUP)] },
      full: { baseRef, contentLayer: [{ remote }, direct(READY)] },
      wrong: { baseRef, contentLayer: [{ remote: wrong }, direct(READY)] },
    }
    facade = await startFacade({ mode: "binary", specs })
  })
  afterAll(async () => {
    await facade.stop()
    upstream.stop()
  })

  async function pull(name: string) {
    const answer = await facade.get(`/v2/fixed/${name}/manifests/latest`, { headers: { accept: OCI_MANIFEST } })
    const manifest = (await answer.json()) as {
      readonly config: { readonly digest: string }
      readonly layers: readonly { readonly digest: string; readonly mediaType: string; readonly size: number }[]
    }
    const blob = async (digest: string) => await facade.get(`/v2/fixed/${name}/blobs/${digest}`)
    const config = (await (await blob(manifest.config.digest)).json()) as {
      readonly rootfs: { readonly diff_ids: readonly string[] }
    }
    return {
      added: manifest.layers.slice(base.layers.length),
      diffIDs: config.rootfs.diff_ids.slice(base.layers.length),
      blob,
    }
  }

  test.each([
    ["A-54: of a repository to be cloned", "git", FROM_GIT, "853fd2fef27607e6", "a6fde5c"],
    [
      "A-55: of a backup, wherever else the content could come from",
      "backup",
      FROM_BACKUP,
      "af67f1cfb2d545c5",
      "bed6696",
    ],
  ])("%s: one layer, byte for byte what the original sent", async (_, name, content, begin, end) => {
    const { added, blob, diffIDs } = await pull(name)
    const digest = sha256(content)

    expect([digest.startsWith(`sha256:${begin}`), digest.endsWith(end)]).toEqual([true, true])
    expect(added).toEqual([{ mediaType: OCI_LAYER, digest, size: 3072 }])
    expect(diffIDs).toEqual([digest])
    expect(sha256(await (await blob(digest)).bytes())).toBe(digest)
  })

  test("A-56: of a full backup: its layers from their signed URLs, and then the one that says so", async () => {
    const { added, blob, diffIDs } = await pull("full")
    const ready = sha256(READY)

    expect([ready.startsWith("sha256:82e8e589c80b9aa5"), ready.endsWith("612f4aa")]).toEqual([true, true])
    expect(added).toEqual([
      { mediaType: backup.mediaType, digest: backup.digest, size: backup.size },
      { mediaType: OCI_LAYER, digest: ready, size: 3072 },
    ])
    expect(diffIDs).toEqual([backup.diffID, ready])
    expect(sha256(await (await blob(backup.digest)).bytes())).toBe(backup.digest)
  })

  test("A-56: what a signed URL gives is checked against its digest", async () => {
    const { added, blob } = await pull("wrong")
    const received = await blob(added[0]?.digest ?? "")
      .then(async (answer) => (answer.ok ? sha256(await answer.bytes()) : String(answer.status)))
      .catch(() => "cut off")

    expect(received).not.toBe(backup.digest)
    expect(received).not.toStartWith("sha256:")
  })
})
