import { lstat, readdir, readlink } from "node:fs/promises"
import { join } from "node:path"
import type { Clock } from "../lib/clock.ts"
import { isYoung } from "../lib/file-identity.ts"
import { SingleFlight } from "../lib/single-flight.ts"
import { digestOf } from "../oci/digest.ts"
import { generatedLayer } from "./generated.ts"
import { importLayer, layerFault, parseFacts, printFacts, type Workshop } from "./import-layer.ts"
import type { LayerFacts } from "./inspect.ts"
import type { Contribution, LayerRequest, LayerSource } from "./layer.ts"
import { type TarItem, tarStream } from "./tar-stream.ts"

type DirRequest = Extract<LayerRequest, { kind: "dir" }>

interface KnownDir {
  readonly facts: LayerFacts
  readonly items: readonly TarItem[]
  /** Until then the directory is taken as unchanged. */
  readonly freshUntil: number
}

interface Listing {
  readonly items: readonly TarItem[]
  /** Changes when anything in the directory does. */
  readonly fingerprint: string
  /** Something changed a moment ago, so a further change may leave no trace in the times. */
  readonly isYoung: boolean
}

/** Looking for changes may take this part of the time, so that large directories do not slow every request down. */
const LOOKING_SHARE = 20

/** A directory on disk as one layer: the same content gives the same bytes on every node. */
export class DirLayerSource implements LayerSource<DirRequest> {
  readonly kind = "dir"
  readonly #workshop: Workshop
  readonly #clock: Clock
  readonly #known = new Map<string, KnownDir>()
  readonly #flights = new SingleFlight<string, KnownDir>()

  constructor(workshop: Workshop, clock: Clock) {
    this.#workshop = workshop
    this.#clock = clock
  }

  async contribute(request: DirRequest, _platform: unknown, signal: AbortSignal): Promise<Contribution> {
    const { dest, path, text } = request
    const key = `${path}\n${dest}`
    try {
      const known = this.#known.get(key)
      const isFresh = known !== undefined && known.freshUntil > this.#clock.now()
      const dir = isFresh ? known : await this.#flights.run(key, (flight) => this.#read(request, flight), signal)
      this.#known.set(key, dir)
      const isCurrent = () => dir.freshUntil > this.#clock.now()
      return generatedLayer({
        facts: dir.facts,
        text: `dir ${text}`,
        generate: async () => tarStream(dir.items),
        isCurrent,
      })
    } catch (error) {
      signal.throwIfAborted()
      throw layerFault(`dir ${text}`, error)
    }
  }

  async #read({ path, dest }: DirRequest, signal: AbortSignal): Promise<KnownDir> {
    const start = this.#clock.now()
    const listing = await list(path, dest)
    const { items, fingerprint } = listing
    const spent = this.#clock.now() - start
    const remembered = listing.isYoung ? null : parseFacts(await this.#workshop.facts.get(fingerprint))
    const facts = remembered ?? (await importLayer(this.#workshop.openSpool, tarStream(items), signal))
    if (remembered === null && !listing.isYoung) await this.#workshop.facts.set(fingerprint, printFacts(facts))
    return { facts, items, freshUntil: listing.isYoung ? 0 : this.#clock.now() + spent * LOOKING_SHARE }
  }
}

async function list(path: string, dest: string): Promise<Listing> {
  const prefix = dest.replace(/^\/+|\/+$/g, "")
  const into: Visit = { items: [], marks: [path, prefix], changedAt: 0n }
  for (const name of await sortedNames(path))
    await visit(join(path, name), prefix === "" ? name : `${prefix}/${name}`, into)
  const items = into.items.toSorted((one, other) => (one.entry.path < other.entry.path ? -1 : 1))
  return { items, fingerprint: digestOf(into.marks.join("\n")), isYoung: isYoung(into.changedAt) }
}

const sortedNames = async (path: string): Promise<readonly string[]> => (await readdir(path)).sort()

interface Visit {
  readonly items: TarItem[]
  readonly marks: string[]
  /** Nanoseconds since the epoch of the latest change. */
  changedAt: bigint
}

async function visit(source: string, path: string, into: Visit): Promise<void> {
  const found = await lstat(source, { bigint: true })
  const mode = Number(found.mode) & 0o7777
  const size = Number(found.size)
  const isLink = found.isSymbolicLink()
  const target = isLink ? await readlink(source) : ""
  into.marks.push([path, found.mode, found.ino, size, found.mtimeNs, found.ctimeNs, target].join(" "))
  if (found.ctimeNs > into.changedAt) into.changedAt = found.ctimeNs
  if (isLink) into.items.push({ entry: { type: "symlink", path, mode: 0o777, size: 0, target }, open: () => [] })
  else if (found.isFile())
    into.items.push({ entry: { type: "file", path, mode, size, target: "" }, open: () => Bun.file(source).stream() })
  else if (found.isDirectory()) await visitDirectory(source, { path, mode }, into)
}

/** What directories are made with where nobody has thought about it: with a umask of 022, and of 002. */
const ORDINARY_MODES: readonly number[] = [0o755, 0o775]

/**
 * A directory is written only if it is empty or has special permissions: an entry for one that the image has would
 * change its owner and permissions, and replace it where it is a symlink such as /bin. Leaving it out does not save the
 * symlink everywhere: whoever unpacks a layer apart from those below it, as for an overlay, makes a directory of its own.
 * So files belong below /usr/bin, not /bin (docs/specs.md).
 */
async function visitDirectory(
  source: string,
  { path, mode }: { path: string; mode: number },
  into: Visit,
): Promise<void> {
  const names = await sortedNames(source)
  if (names.length === 0 || !ORDINARY_MODES.includes(mode)) {
    into.items.push({ entry: { type: "directory", path, mode, size: 0, target: "" }, open: () => [] })
  }
  for (const name of names) await visit(join(source, name), `${path}/${name}`, into)
}
