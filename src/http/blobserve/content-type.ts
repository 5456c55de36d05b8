import { nameOf } from "../../archive/layer-path.ts"

const TEXT = "; charset=utf-8"

/** By the last part of a name, in lower case. A fixed table: what a machine's own says must not decide. */
const TYPES: Readonly<Record<string, string>> = {
  avif: "image/avif",
  bmp: "image/bmp",
  cjs: `text/javascript${TEXT}`,
  css: `text/css${TEXT}`,
  csv: `text/csv${TEXT}`,
  eot: "application/vnd.ms-fontobject",
  gif: "image/gif",
  gz: "application/gzip",
  htm: `text/html${TEXT}`,
  html: `text/html${TEXT}`,
  ico: "image/x-icon",
  jpeg: "image/jpeg",
  jpg: "image/jpeg",
  js: `text/javascript${TEXT}`,
  json: "application/json",
  jsonld: "application/ld+json",
  map: "application/json",
  md: `text/markdown${TEXT}`,
  mjs: `text/javascript${TEXT}`,
  mp3: "audio/mpeg",
  mp4: "video/mp4",
  ogg: "audio/ogg",
  otf: "font/otf",
  pdf: "application/pdf",
  png: "image/png",
  rtf: "application/rtf",
  sh: `text/plain${TEXT}`,
  svg: "image/svg+xml",
  tar: "application/x-tar",
  ts: `text/plain${TEXT}`,
  ttf: "font/ttf",
  txt: `text/plain${TEXT}`,
  vsix: "application/zip",
  wasm: "application/wasm",
  wav: "audio/wav",
  webm: "video/webm",
  webmanifest: "application/manifest+json",
  webp: "image/webp",
  woff: "font/woff",
  woff2: "font/woff2",
  xhtml: "application/xhtml+xml",
  xml: "application/xml",
  yaml: `text/plain${TEXT}`,
  yml: `text/plain${TEXT}`,
  zip: "application/zip",
}

/** Of a file by its name. What is not known is bytes: nothing is guessed from the content. */
export function contentType(path: string): string {
  const extension = /\.([^.]+)$/.exec(nameOf(path))?.[1]?.toLowerCase() ?? ""
  return Object.hasOwn(TYPES, extension) ? (TYPES[extension] ?? "") : "application/octet-stream"
}
