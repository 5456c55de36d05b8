import type { BlobSource, StreamBlob } from "../blob/blob.ts"
import { identifyFile } from "../lib/file-identity.ts"
import { SingleFlight } from "../lib/single-flight.ts"
import { importLayer, layerDescriptor, layerFault, parseFacts, printFacts, type Workshop } from "./import-layer.ts"
import type { LayerFacts } from "./inspect.ts"
import type { Contribution, LayerRequest, LayerSource } from "./layer.ts"

type FileRequest = Extract<LayerRequest, { kind: "file" }>

interface KnownFile {
  readonly identity: string
  readonly facts: LayerFacts
}

const MAX_READS = 3

/** An archive on disk, plain or compressed. A file that changes is a new layer; its old bytes keep their old digest. */
export class FileLayerSource implements LayerSource<FileRequest> {
  readonly kind = "file"
  readonly #workshop: Workshop
  readonly #known = new Map<string, KnownFile>()
  readonly #flights = new SingleFlight<string, KnownFile>()

  constructor(workshop: Workshop) {
    this.#workshop = workshop
  }

  async contribute(request: FileRequest, _platform: unknown, signal: AbortSignal): Promise<Contribution> {
    try {
      const { facts, identity } = await this.#current(request.path, signal)
      const createdBy = `registry-facade: file ${request.text}`
      const sources = [fileSource(request, identity)]
      return {
        layers: [{ descriptor: layerDescriptor(facts), diffID: facts.diffID, createdBy, sources, from: null }],
        env: [],
        isCurrent: () => isSame(request.path, identity),
      }
    } catch (error) {
      signal.throwIfAborted()
      throw layerFault(`file ${request.text}`, error)
    }
  }

  async #current(path: string, signal: AbortSignal): Promise<KnownFile> {
    const known = this.#known.get(path)
    if (known !== undefined && isSame(path, known.identity)) return known
    const file = await this.#flights.run(path, (flight) => this.#read(path, flight), signal)
    this.#known.set(path, file)
    return file
  }

  async #read(path: string, signal: AbortSignal): Promise<KnownFile> {
    for (let reads = 0; reads < MAX_READS; reads += 1) {
      const identity = identifyFile(path)
      if (identity === null) throw new Error(`there is no file ${path}`)
      const key = `${path}\n${identity.text}`
      const remembered = identity.isYoung ? null : parseFacts(await this.#workshop.facts.get(key))
      const facts = remembered ?? (await importLayer(this.#workshop.openSpool, Bun.file(path).stream(), signal))
      if (!isSame(path, identity.text)) continue
      if (identity.isYoung) return { identity: "young", facts }
      if (remembered === null) await this.#workshop.facts.set(key, printFacts(facts))
      return { identity: identity.text, facts }
    }
    throw new Error("it keeps changing while it is read; write it elsewhere and rename it into place")
  }
}

const isSame = (path: string, identity: string): boolean => identifyFile(path)?.text === identity

/** For stores that could not keep the copy: the file itself, as long as it is the one that was read. */
function fileSource({ path, text }: FileRequest, identity: string): BlobSource {
  const open: StreamBlob["open"] = async ({ start, end }) => Bun.file(path).slice(start, end).stream()
  return {
    name: "static",
    origin: `file ${text}`,
    find: async (descriptor) => (isSame(path, identity) ? { kind: "stream", descriptor, open } : null),
  }
}
