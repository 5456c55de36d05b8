import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { createHash } from "node:crypto"
import { lstatSync, readdirSync, readFileSync, realpathSync } from "node:fs"
import { join, relative } from "node:path"
import { debianLayer } from "../helpers/debian.ts"
import { type FileServer, startFiles } from "../helpers/files.ts"
import { content, image, layer, OCI_LAYER, sha256, type TestLayer } from "../helpers/images.ts"
import { needs, output } from "../helpers/programs.ts"
import { tempDir } from "../helpers/temp-dir.ts"
import { until } from "../helpers/until.ts"
import { startUpstream, type UpstreamServer } from "../helpers/upstream-server.ts"

setDefaultTimeout(60_000)

const SHARE = join(import.meta.dir, "../../node_modules")
/** Packages with thousands of files together, as web applications are made of. */
const PACKAGES = ["@libp2p", "@opentelemetry", "@sinclair"]

let upstream: UpstreamServer
let server: FileServer

beforeAll(async () => {
  upstream = startUpstream()
  server = await startFiles({
    blobserve: {
      repos: {
        [`${upstream.host}/real/debian`]: { layers: "all" },
        [`${upstream.host}/real/app`]: { layers: "all", workdir: "/srv/www" },
      },
    },
  })
})

afterAll(async () => {
  await server.stop()
  upstream.stop()
})

const digestOf = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex")

async function* below(dir: string): AsyncGenerator<string> {
  for (const entry of readdirSync(dir, { withFileTypes: true })) {
    const path = join(dir, entry.name)
    if (entry.isDirectory()) yield* below(path)
    else yield path
  }
}

const encoded = (path: string): string => path.split("/").map(encodeURIComponent).join("/")

/** Asks for every file, some at a time; gives what is not as it should be. */
async function differences(
  paths: readonly string[],
  check: (path: string) => Promise<string | null>,
): Promise<readonly string[]> {
  const found: string[] = []
  let next = 0
  const ask = async () => {
    for (let at = next++; at < paths.length; at = next++) {
      const difference = await check(paths[at] ?? "")
      if (difference !== null) found.push(difference)
    }
  }
  await Promise.all(Array.from({ length: 16 }, ask))
  return found
}

describe("a Debian root filesystem", () => {
  const debian = needs("apt-get", "dpkg", "tar")
  test.skipIf(debian.isMissing)(`is served as tar unpacks it, links and all${debian.note}`, async () => {
    const base = await debianLayer()
    const root = tempDir()
    await Bun.write(join(root, "layer.tar.gz"), base.bytes)
    await output(["sh", "-c", `mkdir ${root}/unpacked && tar -xzf ${root}/layer.tar.gz -C ${root}/unpacked`])
    upstream.add("real/debian", "1", await image({ layers: [base, await layer({ "etc/added": "added" })] }))
    const unpacked = join(root, "unpacked")
    const inside = (path: string): boolean => {
      try {
        return realpathSync(path).startsWith(`${unpacked}/`) && lstatSync(realpathSync(path)).isFile()
      } catch {
        return false // a link to nothing, or to this machine's own files
      }
    }
    const paths: string[] = []
    for await (const path of below(unpacked)) if (inside(path)) paths.push(relative(unpacked, path))
    expect(paths.length).toBeGreaterThan(200)

    const wrong = await differences(paths, async (path) => {
      const response = await server.get(`/${upstream.host}/real/debian:1/${encoded(path)}`)
      const digest = digestOf(await response.bytes())
      return response.status === 200 && digest === digestOf(readFileSync(join(unpacked, path)))
        ? null
        : `${path}: ${response.status}`
    })

    expect(wrong).toEqual([])
    expect(await server.text(`/${upstream.host}/real/debian:1/etc/added`)).toBe("added")
    // Through the merged /bin, which is a link to usr/bin
    expect((await server.get(`/${upstream.host}/real/debian:1/bin/bash`, { method: "HEAD" })).status).toBe(200)
  })
})

describe("a web application of many files", () => {
  const tools = needs("tar")
  test.skipIf(tools.isMissing)(
    `is served as it is in its package, and revalidates under the next tag${tools.note}`,
    async () => {
      const tar = join(tempDir(), "layer.tar.gz")
      await output(["tar", "-czf", tar, "--transform", "s,^,srv/www/,S", "-C", SHARE, ...PACKAGES])
      const bytes = new Uint8Array(readFileSync(tar))
      const app: TestLayer = { ...content(`${OCI_LAYER}+gzip`, bytes), diffID: sha256(Bun.gunzipSync(bytes)) }
      upstream.add("real/app", "1", await image({ layers: [await layer({ "etc/base": "base" }), app] }))
      upstream.add(
        "real/app",
        "2",
        await image({ layers: [await layer({ "etc/base": "other" }), app, await layer({ "srv/www/new.js": "new" })] }),
      )
      const paths: string[] = []
      for (const dir of PACKAGES)
        for await (const path of below(join(SHARE, dir)))
          if (lstatSync(path).isFile()) paths.push(relative(SHARE, path))
      expect(paths.length).toBeGreaterThan(4000)
      const etags = new Map<string, string>()

      const wrong = await differences(paths, async (path) => {
        const response = await server.get(`/${upstream.host}/real/app:1/${encoded(path)}`)
        etags.set(path, response.headers.get("etag") ?? "")
        return digestOf(await response.bytes()) === digestOf(readFileSync(join(SHARE, path))) ? null : path
      })
      expect(wrong).toEqual([])
      await until(
        async () =>
          (await server.get(`/${upstream.host}/real/app:2/${encoded(paths[0] ?? "")}`)).headers.get("cache-control") !==
          "no-store",
      )
      const changed = await differences(paths, async (path) => {
        const headers = { "if-none-match": etags.get(path) ?? "" }
        return (await server.get(`/${upstream.host}/real/app:2/${encoded(path)}`, { headers })).status === 304
          ? null
          : path
      })
      expect(changed).toEqual([])
      // The layer below was never needed
      const low = upstream.seen.filter(({ method, path }) => method === "GET" && path.includes("/real/app/blobs/"))
      expect(new Set(low.map(({ path }) => path.split("/").at(-1))).size).toBe(2 + 2)
    },
  )
})
