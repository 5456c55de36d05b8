import { afterEach, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test"
import { mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { commandTools } from "../../src/app/command-tools.ts"
import { CurrentRegistry } from "../../src/app/current-registry.ts"
import { type Kept, openKept } from "../../src/app/kept.ts"
import type { LocatedBlob } from "../../src/blob/blob.ts"
import { openAt } from "../../src/blob/blob.ts"
import { loadConfig } from "../../src/config/load.ts"
import { readText } from "../../src/lib/stream.ts"
import { type Digest, parseDigest } from "../../src/oci/digest.ts"
import { createLogger } from "../../src/telemetry/log.ts"
import type { Readiness } from "../../src/telemetry/readiness.ts"
import { PRODUCTION } from "../../src/tuning.ts"
import { image, layer, type TestLayer, tar } from "../helpers/images.ts"
import { tempDir } from "../helpers/temp-dir.ts"
import { until } from "../helpers/until.ts"
import { startUpstream, type UpstreamServer } from "../helpers/upstream-server.ts"

setDefaultTimeout(30_000)

const NAME = "fixed/a"
const never = new AbortController().signal
/** Looks again at once. */
const tuning = { ...PRODUCTION, staticLayers: { baseMs: 2, capMs: 10, staleMs: 0 } }

interface StaticLayer {
  readonly type: "file" | "dir" | "image"
  readonly ref: string
}

let dir: string
let upstream: UpstreamServer
let kept: Kept
let parts: CurrentRegistry
let readiness: Readiness
let logs: Record<string, unknown>[]
beforeEach(() => {
  dir = tempDir()
  upstream = startUpstream()
  logs = []
})
afterEach(async () => {
  parts.close()
  await kept.close()
  upstream.stop()
})

async function config(staticLayer: readonly StaticLayer[]) {
  writeFileSync(join(dir, "specs.json"), JSON.stringify({ a: { baseRef: "scratch" } }))
  const registry = { store: "store", fixedSpecFN: "specs.json", staticLayer, tagTTL: "0" }
  writeFileSync(join(dir, "config.json"), JSON.stringify({ registry }))
  const loaded = (await loadConfig(join(dir, "config.json"))).registry
  if (loaded === null) throw new Error("The configuration has a registry")
  return loaded
}

async function start(...staticLayer: readonly StaticLayer[]): Promise<void> {
  const write = (line: string) => void logs.push(JSON.parse(line))
  const log = createLogger({ format: "json", version: "", level: () => "debug", write })
  const tools = commandTools(log, tuning)
  const loaded = await config(staticLayer)
  kept = await openKept(loaded, tools)
  parts = await CurrentRegistry.create(loaded, kept, tools)
  readiness = tools.readiness
  parts.watch()
}

const replace = async (...staticLayer: readonly StaticLayer[]) => await replaceUnless(never, ...staticLayer)
const replaceUnless = async (signal: AbortSignal, ...staticLayer: readonly StaticLayer[]) =>
  await parts.apply(await config(staticLayer), ["registry.staticLayer"], signal)

/** Puts an archive of one file where a static layer is, as a whole. */
async function put(file: string, text: string): Promise<void> {
  writeFileSync(join(dir, `${file}.new`), await tar({ [text]: text }))
  renameSync(join(dir, `${file}.new`), join(dir, file))
}

const file = (ref: string): StaticLayer => ({ type: "file", ref })
const waiting = () => readiness.conditions.find(({ name }) => name === "configuration")
const state = () => readiness.conditions.find(({ name }) => name === "static layers")

async function pull() {
  const { root } = await parts.images.image(NAME, never)
  const { layers } = JSON.parse(new TextDecoder().decode(root.bytes)) as { layers: { digest: string }[] }
  return { root, layers: layers.map(({ digest }) => parseDigest(digest)) }
}

async function textOf(digest: Digest): Promise<string> {
  const located: LocatedBlob = await parts.images.blob(NAME, digest, never)
  const blob = located.kind === "cold" ? await located.obtain(never) : located
  return await readText(await openAt(blob, 0, never), 1 << 20)
}

/** What the image consists of now. */
const content = async () =>
  await Promise.all((await pull()).layers.map(async (digest) => (await textOf(digest)).slice(0, 5)))

describe("a list of static layers that is replaced", () => {
  test("A-17, A-18, A-20: images consist of the layers of the new list alone", async () => {
    await put("one.tar", "first")
    await put("two.tar", "later")
    await start(file("one.tar"))
    expect(await content()).toEqual(["first"])

    await replace(file("two.tar"), file("one.tar"))
    expect(await content()).toEqual(["later", "first"])

    await replace()
    expect(await content()).toEqual([])
  })

  test("A-15, A-19: a pull that began before finishes with the layers that it began with", async () => {
    await put("one.tar", "first")
    await put("two.tar", "later")
    await start(file("one.tar"))
    const before = await pull()

    await replace(file("two.tar"))
    expect(await content()).toEqual(["later"])
    rmSync(join(dir, "one.tar"))

    expect(await textOf(before.layers[0] as Digest)).toStartWith("first")
  })

  test("D-2: between HEAD and GET by digest, GET gives what HEAD has promised", async () => {
    await put("one.tar", "first")
    await put("two.tar", "later")
    await start(file("one.tar"))
    const { root } = await pull()

    await replace(file("two.tar"))

    expect(await parts.images.document(NAME, root.descriptor.digest, never)).toEqual(root)
    expect((await pull()).root.descriptor.digest).not.toBe(root.descriptor.digest)
  })

  test("A-16: a blob of none of the lists is unknown", async () => {
    await put("one.tar", "first")
    await start(file("one.tar"))
    await pull()
    await expect(parts.images.blob(NAME, parseDigest(`sha256:${"0".repeat(64)}`), never)).rejects.toMatchObject({
      code: "BLOB_UNKNOWN",
    })
  })

  test("stays in use while the new one cannot be loaded, and the new one comes as a whole", async () => {
    await put("one.tar", "first")
    await put("two.tar", "later")
    await start(file("one.tar"))
    await until(() => state()?.state === "ok")

    const replaced = replace(file("two.tar"), file("missing.tar"))
    await until(() => waiting()?.state === "degraded")
    expect(waiting()?.reason).toContain(
      "the changed one is not in use yet: static layers: cannot source layer from missing.tar",
    )
    expect(await content()).toEqual(["first"])
    expect(state()?.state).toBe("ok")
    expect(readiness.isReady).toBe(true)

    await put("missing.tar", "third")
    await replaced
    expect(waiting()?.state).toBe("ok")
    expect(await content()).toEqual(["later", "third"])
  })

  test("gives way to a third that comes while it is being loaded", async () => {
    await put("one.tar", "first")
    await put("two.tar", "later")
    await start(file("one.tar"))
    const unwanted = new AbortController()
    const second = replaceUnless(unwanted.signal, file("missing.tar")).catch((error) => error)
    await until(() => waiting()?.state === "degraded")
    unwanted.abort(new Error("The configuration has changed again"))
    expect(await second).toBe(unwanted.signal.reason)
    await replace(file("two.tar"))
    await put("missing.tar", "third")
    expect(await content()).toEqual(["later"])
    expect(readiness.conditions.map((condition) => condition.state)).toEqual(["ok", "ok"])
  })

  test("keeps what is known of the layers that stay in it, though they cannot be had any more", async () => {
    await put("one.tar", "first")
    await put("two.tar", "later")
    await start(file("one.tar"), file("two.tar"))
    await until(() => state()?.state === "ok")
    rmSync(join(dir, "two.tar"))

    await replace(file("two.tar"))

    expect(await content()).toEqual(["later"])
    expect(state()).toMatchObject({ state: "degraded", reason: expect.stringContaining("two.tar is used as it was") })
  })
})

describe("static layers that cannot be loaded", () => {
  test("make the process not ready, and are tried until they can be", async () => {
    await start(file("late.tar"))
    await until(() => state()?.reason.includes("there is no file") === true)
    expect(readiness.isReady).toBe(false)
    await expect(pull()).rejects.toMatchObject({ code: "UNKNOWN" })

    await put("late.tar", "there")
    await until(() => readiness.isReady)
    expect(await content()).toEqual(["there"])
  })

  test("do so as images of an upstream that is away, too", async () => {
    const { host } = upstream
    upstream.stop()
    await start({ type: "image", ref: `${host}/lab/common:1` })
    await until(() => state()?.state === "failed")
    expect(state()?.reason).toContain(`cannot source layer from ${host}/lab/common:1`)
    expect(readiness.isReady).toBe(false)
  })

  test("but could be before, are used as they were, and are tried again", async () => {
    await put("one.tar", "first")
    await start(file("one.tar"))
    const [digest] = (await pull()).layers
    rmSync(join(dir, "one.tar"))

    expect((await pull()).layers).toEqual([digest as Digest])
    expect(state()).toMatchObject({ state: "degraded", reason: expect.stringContaining("one.tar is used as it was") })
    expect(readiness.isReady).toBe(true)

    await put("one.tar", "after")
    await until(() => state()?.state === "ok")
    expect(await content()).toEqual(["after"])
  })

  test("are none where nothing is configured", async () => {
    await start()
    await until(() => state()?.state === "ok")
  })
})

describe("static layers that change", () => {
  test("are followed without a reload: a file", async () => {
    await put("one.tar", "first")
    await start(file("one.tar"))
    const before = await pull()
    await put("one.tar", "after")

    await until(async () => (await content())[0] === "after")
    expect(await textOf(before.layers[0] as Digest)).toStartWith("first")
  })

  test("a directory", async () => {
    mkdirSync(join(dir, "tools"))
    writeFileSync(join(dir, "tools", "a"), "one")
    await start({ type: "dir", ref: "tools" })
    const before = await pull()
    writeFileSync(join(dir, "tools", "a"), "two")

    await until(async () => (await pull()).layers[0] !== before.layers[0])
    expect(await textOf(before.layers[0] as Digest)).toContain("one")
  })

  test("the tag of an image", async () => {
    const [old, renewed] = [await layer({ a: "1" }), await layer({ a: "2" })]
    const publish = async (one: TestLayer) => upstream.add("lab/common", "1", await image({ layers: [one] }))
    await publish(old)
    await start({ type: "image", ref: `${upstream.host}/lab/common:1` })
    expect((await pull()).layers).toEqual([parseDigest(old.digest)])

    await publish(renewed)
    await until(async () => (await pull()).layers[0] === renewed.digest)
  })
})
