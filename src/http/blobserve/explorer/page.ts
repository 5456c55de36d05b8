import { type LayerPath, parentOf } from "../../../archive/layer-path.ts"
import type { DirectoryItem } from "../../../blobserve/directory.ts"
import type { LayerReport } from "../../../blobserve/inspection.ts"
import { encodedPath } from "../encoding.ts"
import { type Html, html } from "./html.ts"
import { displayed, displayedMode, displayedSize } from "./names.ts"
import type { ImageView } from "./view.ts"

const STYLE = `
:root { color-scheme: light dark; --line: light-dark(#d4d4d8, #3f3f46); --dim: light-dark(#636369, #a1a1aa); --mark: light-dark(#e8efff, #1d2a4d) }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.3rem; overflow-wrap: anywhere } h2 { font-size: 1.05rem; margin-top: 2rem }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: top; overflow-wrap: anywhere }
th { font-weight: 600; color: var(--dim) } .number { text-align: right; white-space: nowrap; overflow-wrap: normal }
code { font: 13px/1.5 ui-monospace, monospace } .dim { color: var(--dim) } .unseen { text-decoration: line-through; color: var(--dim) }
.origin { padding: 0 .5em; border-radius: .7em; background: var(--mark) } a { color: light-dark(#1d4ed8, #93b4ff) }
`
const STYLE_HASH = new Bun.CryptoHasher("sha256").update(STYLE).digest("base64")

/** Nothing is loaded, nothing is run: an image's names cannot become more than text. */
export const PAGE_POLICY = `default-src 'none'; style-src 'sha256-${STYLE_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`

/** The page of an image: its layers, and one directory of what they hold. */
export function imagePage(view: ImageView): string {
  const { image, page, path, report } = view
  const more = page.next === null ? html`` : html`<p><a rel="next" href="${address(path, page.next)}">more</a></p>`
  const body = html`<h1>${image}</h1>
<p class="dim"><code>${report.digest}</code><br>${report.platform}, ${counted(report.layers.length, "layer")}, ${displayedSize(total(report.layers))} compressed</p>
<h2>Layers</h2>
<table><thead><tr><th>#</th><th></th><th>made by</th><th class="number">sent as</th><th class="number">files</th><th class="number">content</th><th class="number">of it unseen</th></tr></thead>
<tbody>${report.layers.map(layerRow)}</tbody></table>
<h2>Files in ${breadcrumbs(path)}</h2>
<table><thead><tr><th>name</th><th class="number">size</th><th>mode</th><th>layer</th><th></th></tr></thead>
<tbody>${path === "" ? [] : [parentRow(path)]}${page.items.map((item) => itemRow(view, item))}</tbody></table>${more}`
  return document(image, body)
}

/** Shown while layers are on their way; it asks again by itself. */
export const waitingPage = (image: string): string =>
  document(
    image,
    html`<h1>${image}</h1><p>The layers of this image are being read. This page loads again in two seconds.</p>`,
    true,
  )

function document(title: string, body: Html, isWaiting = false): string {
  const refresh = isWaiting ? html`<meta http-equiv="refresh" content="2">` : html``
  const page = html`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">${refresh}<title>${title}</title><style>${{ html: STYLE }}</style></head>
<body>${body}</body></html>
`
  return page.html
}

const total = (layers: readonly LayerReport[]): number =>
  layers.reduce((sum, { descriptor }) => sum + descriptor.size, 0)

const counted = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? "" : "s"}`

function layerRow(layer: LayerReport, at: number): Html {
  const { descriptor, origin } = layer
  const unseen =
    layer.unseenFiles === 0 ? "" : `${counted(layer.unseenFiles, "file")}, ${displayedSize(layer.unseenBytes)}`
  return html`<tr><td>${at}</td><td><span class="origin">${origin}</span></td><td>${layer.createdBy ?? ""}<br><code class="dim">${descriptor.digest.slice(0, 19)}</code></td>
<td class="number">${displayedSize(descriptor.size)}</td><td class="number">${layer.files}</td><td class="number">${displayedSize(layer.bytes)}</td><td class="number">${unseen}</td></tr>
`
}

const address = (path: LayerPath, after: string | null = null): string =>
  `?path=/${encodedPath(path)}${after === null ? "" : `&after=${encodedPath(after)}`}`

const link = (path: LayerPath, text: string): Html => html`<a href="${address(path)}">${text}</a>`

function breadcrumbs(path: LayerPath): Html {
  const parts = path === "" ? [] : path.split("/")
  const links = parts.map((part, at) => html`${link(parts.slice(0, at + 1).join("/"), displayed(part))}/`)
  return html`${link("", "/")}${links}`
}

const parentRow = (
  path: LayerPath,
): Html => html`<tr><td>${link(parentOf(path), "..")}</td><td></td><td></td><td></td><td></td></tr>
`

function itemRow(view: ImageView, item: DirectoryItem): Html {
  const { entry, fate, layer } = item
  const size = entry?.type === "file" ? displayedSize(entry.size) : ""
  const mode = entry === null ? "" : displayedMode(entry.mode)
  const note = fate === null ? "" : `${fate.kind} by layer ${fate.by}`
  return html`<tr><td>${nameCell(view, item)}</td><td class="number">${size}</td><td><code>${mode}</code></td><td>${layer}</td><td class="dim">${note}</td></tr>
`
}

function nameCell({ served }: ImageView, { entry, fate, name, path }: DirectoryItem): Html {
  const text = displayed(name)
  if (fate !== null) return html`<span class="unseen">${text}</span>`
  if (entry === null || entry.type === "directory") return html`${link(path, text)}/`
  const url = entry.type === "file" ? served(path) : null
  if (url !== null) return html`<a href="${url}">${text}</a>`
  return entry.type === "symlink" ? html`${text} <span class="dim">→ ${displayed(entry.link)}</span>` : html`${text}`
}
