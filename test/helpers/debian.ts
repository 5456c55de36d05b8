import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, symlinkSync } from "node:fs"
import { join } from "node:path"
import { gunzipSync } from "node:zlib"
import { content, OCI_LAYER, sha256, type TestLayer } from "./images.ts"
import { output, run } from "./programs.ts"
import { tempDir } from "./temp-dir.ts"

const CACHE = join(import.meta.dir, "../../.cache")

/**
 * A layer that holds a small Debian: bash, coreutils and the libraries they need, as their packages ship them. It is
 * made once and kept beside the programs that tests need. Rejects where packages cannot be had.
 */
export async function debianLayer(): Promise<TestLayer> {
  const release = /^VERSION_ID="?([\w.]+)/m.exec(readFileSync("/etc/os-release", "utf8"))?.[1] ?? "sid"
  const file = join(CACHE, `debian-${release}-${process.arch}.tar.gz`)
  if (!existsSync(file)) await makeLayer(file)
  const bytes = readFileSync(file)
  return { ...content(`${OCI_LAYER}+gzip`, bytes), diffID: sha256(gunzipSync(bytes)) }
}

async function makeLayer(file: string): Promise<void> {
  const dir = tempDir()
  const root = join(dir, "root")
  await output(["mkdir", root])
  for (const name of await download(dir)) await output(["dpkg", "-x", join(dir, name), root])
  for (const name of MERGED) await mergeUsr(root, name)
  const tar = ["tar", "--create", "--gzip", "--sort=name", "--mtime=@1700000000", "--owner=0", "--group=0"]
  const left = LEFT_OUT.map((path) => `--exclude=./${path}`)
  const draft = `${file}.${process.pid}`
  mkdirSync(CACHE, { recursive: true })
  await output([...tar, "--numeric-owner", ...left, "--file", draft, "."], { cwd: root })
  renameSync(draft, file)
}

const LEFT_OUT = ["usr/share/doc", "usr/share/man", "usr/share/info", "usr/share/locale", "usr/lib/*/gconv"]

/** The files of the packages, which are now in `dir`. */
async function download(dir: string): Promise<readonly string[]> {
  const names = await packages()
  const command = ["apt-get", "download", "-q", "-o", "APT::Sandbox::User=root", ...names]
  if ((await run(command, { cwd: dir })).code !== 0) {
    await output(["apt-get", "update", "-qq"])
    await output(command, { cwd: dir })
  }
  return readdirSync(dir).filter((name) => name.endsWith(".deb"))
}

/** What is needed at run time; the scripts that configure packages have needs of their own. */
async function packages(): Promise<readonly string[]> {
  const wanted = ["bash", "coreutils", "base-files"]
  const list = async () => (await output(["apt-cache", "depends", "--recurse", "-i", ...wanted])).split("\n")
  const found = await list().catch(async () => {
    await output(["apt-get", "update", "-qq"])
    return await list()
  })
  return [...wanted, ...found.filter((name) => /^lib[\w.+-]+$/.test(name))]
}

const MERGED = ["bin", "sbin", "lib", "lib64"]

/** Debian's installer makes these directories links; packages of bookworm still put files into them. */
async function mergeUsr(root: string, name: string): Promise<void> {
  const path = join(root, name)
  const found = lstatSync(path, { throwIfNoEntry: false })
  if (found?.isSymbolicLink() === true) return
  await output(["mkdir", "-p", join(root, "usr", name)])
  if (found !== undefined) await output(["cp", "-a", `${path}/.`, join(root, "usr", name)])
  rmSync(path, { recursive: true, force: true })
  symlinkSync(`usr/${name}`, path)
}
