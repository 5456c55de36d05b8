const NAME = "fixed/hello"
const ADDED = "/etc/motd"

interface Manifest {
  readonly config: { readonly digest: string }
  readonly layers: readonly { readonly digest: string }[]
}

interface ImageConfig {
  readonly history: readonly { readonly created_by?: string; readonly empty_layer?: boolean }[]
}

/** What to paste into another terminal. Pulls the image to find out, so it rejects when it cannot be pulled. */
export async function commands(host: string, files: string): Promise<string> {
  const image = `${host}/${NAME}`
  const api = `http://${host}/v2/${NAME}`
  const layer = await layerWith(ADDED, host)
  const sudo = process.getuid?.() === 0 ? "" : "sudo "
  return `
registry-facade serves the sample image ${image}, which it makes while it is pulled:
the base in examples/quickstart/base, and what examples/quickstart/specs.json adds to it.

Paste into another terminal:

${needs("curl")}
  curl -s ${api}/tags/list; echo
  curl -s ${api}/manifests/latest; echo
${needs("curl", "tar")}
  curl -s ${api}/blobs/${layer} | tar -xO ${ADDED.slice(1)}
${needs("curl")}, for files by their path in the image
  curl -s http://${files}/${NAME}:latest${ADDED}
  curl -s http://${files}/${NAME}:latest/opt/notes/notes.txt
${needs("skopeo")}
  skopeo --insecure-policy copy --src-tls-verify=false docker://${image}:latest oci:\${TMPDIR:-/tmp}/hello:latest
${needs("docker")}
  docker pull ${image} && docker run --rm ${image}
${needs("podman")}
  podman pull --tls-verify=false ${image} && podman run --rm ${image}
${needs("ctr")}
  ${sudo}ctr images pull --plain-http ${image}:latest && ${sudo}ctr run --rm ${image}:latest hello

The API is described at http://${host}/swagger
The inside of the image is shown at http://${files}/-/images/${NAME}:latest
Change specs.json or the directory notes, and pull again. Ctrl-C ends.
`
}

function needs(...programs: readonly string[]): string {
  const missing = programs.filter((program) => Bun.which(program) === null)
  const note = missing.length === 0 ? "" : ` (not installed here: ${missing.join(", ")})`
  return `# needs ${programs.join(" and ")}${note}`
}

/** The digest of the layer that was added for a file, by the image's history. */
async function layerWith(path: string, host: string): Promise<string> {
  const manifest: Manifest = await get(host, "manifests/latest", MANIFEST)
  const config: ImageConfig = await get(host, `blobs/${manifest.config.digest}`, "*/*")
  const layers = config.history.filter(({ empty_layer }) => empty_layer !== true)
  const index = layers.findIndex(({ created_by }) => created_by?.split(" ").includes(path))
  const layer = manifest.layers[index]
  if (layer === undefined) throw new Error(`No layer of ${NAME} adds ${path}`)
  return layer.digest
}

const MANIFEST = "application/vnd.oci.image.manifest.v1+json"

/** Without a proxy, which Bun would use for this host, too. */
async function get<Value>(host: string, path: string, accept: string): Promise<Value> {
  const response = await fetch(`http://${host}/v2/${NAME}/${path}`, { headers: { accept }, proxy: "" })
  if (!response.ok) throw new Error(`${NAME} cannot be pulled: ${await response.text()}`)
  return (await response.json()) as Value
}
