import type { BlobSource } from "../blob/blob.ts"
import type { Descriptor } from "../oci/descriptor.ts"
import type { DiffID, Digest } from "../oci/digest.ts"
import type { Platform } from "../oci/platform.ts"
import type { StoredReference } from "../upstream/upstream.ts"

/** One wish for layers, as a spec or the configuration states it. `text` is how, for history and messages. */
export type LayerRequest =
  | { readonly kind: "file"; readonly path: string; readonly text: string }
  | { readonly kind: "dir"; readonly path: string; readonly dest: string; readonly text: string }
  | { readonly kind: "files"; readonly files: ReadonlyMap<string, string>; readonly text: string }
  | { readonly kind: "image"; readonly reference: StoredReference; readonly text: string }
  | UrlLayerRequest
  | { readonly kind: "direct"; readonly content: Uint8Array<ArrayBuffer>; readonly text: string }

/** A request, and what asked for it: `spec.layers[0]`, `registry.staticLayer[1]`. */
export type PlacedRequest = LayerRequest & { readonly rule: string }

/** What is null has to be found out by fetching the layer once. */
export interface UrlLayerRequest {
  readonly kind: "url"
  readonly url: URL
  readonly digest: Digest
  readonly diffID: DiffID | null
  readonly mediaType: string | null
  readonly size: number | null
  readonly text: string
}

export interface Layer {
  readonly descriptor: Descriptor
  readonly diffID: DiffID
  /** For the image's history; the same on every node. */
  readonly createdBy: string
  /** Where its bytes are, best place first. */
  readonly sources: readonly BlobSource[]
  /** The image reference under which the bytes can be found again; null where they are made here. */
  readonly from: string | null
}

/**
 * A change to one environment variable. `before` and `after` put the value in front of or behind what is there, with
 * `separator` between them where there is something.
 */
export type EnvEdit =
  | { readonly op: "set" | "default"; readonly name: string; readonly value: string }
  | { readonly op: "before" | "after"; readonly name: string; readonly value: string; readonly separator: string }
  | { readonly op: "unset"; readonly name: string }

/** Changes to an image's configuration. What is null or empty stays as the base has it. */
export interface ConfigEdit {
  readonly env: readonly EnvEdit[]
  /** A single empty string removes the base's, as in Docker's API. Setting it removes the base's cmd, as Docker does. */
  readonly entrypoint: readonly string[]
  readonly cmd: readonly string[]
  readonly user: string
  readonly workingDir: string
  readonly labels: Readonly<Record<string, string>>
}

export interface Contribution {
  readonly layers: readonly Layer[]
  readonly env: readonly EnvEdit[]
  /** False once asking again might give something else. Cheap: it is asked for every request. */
  readonly isCurrent: () => boolean
}

/** Turns one kind of request into layers, and says where the bytes of those layers are. */
export interface LayerSource<Request extends LayerRequest = LayerRequest> {
  readonly kind: Request["kind"]
  /** Null: there is nothing for this platform. Rejects with RegistryError when the layer cannot be had. */
  contribute(request: Request, platform: Platform, signal: AbortSignal): Promise<Contribution | null>
}
