import type { ScanBatch, ScanOptions } from "./scan-layer.ts"

/** From the thread that has the layer to the one that scans it. */
export type ToScanner =
  | { readonly kind: "begin"; readonly options: ScanOptions }
  | { readonly kind: "bytes"; readonly bytes: Uint8Array<ArrayBuffer> }
  | { readonly kind: "end" }
  /** A batch is where it belongs, so another may come. */
  | { readonly kind: "taken" }

export type FromScanner =
  /** A piece is used up, so more may come. */
  | { readonly kind: "used"; readonly piece: Uint8Array<ArrayBuffer> }
  | { readonly kind: "batch"; readonly batch: ScanBatch }
  | { readonly kind: "done"; readonly index: Uint8Array<ArrayBuffer> }
  | { readonly kind: "failed"; readonly message: string }
