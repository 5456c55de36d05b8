import { HostFiles } from "./host-files.ts"
import { withHost, withoutHost } from "./hosts-file.ts"

export interface SetupOptions {
  /** Root directory of the machine, as it is seen from here. */
  readonly hostfs: string
  /** In lower case. */
  readonly hostname: string
  readonly port: number
  /** PEM certificates that sign the facade's; null where the machine trusts them already. */
  readonly ca: string | null
}

/** One thing that is not as it should be. */
export interface Change {
  /** For people, e.g. "write /etc/hosts". */
  readonly text: string
  apply(): void
}

const HOSTS = "/etc/hosts"
const CERTS_DIRECTORY = "/etc/containerd/certs.d"
const CONFIG = "/etc/containerd/config.toml"
const MARK = "# Written by registry-facade setup, which overwrites changes"
const DIRECTORY_MODE = 0o755
const FILE_MODE = 0o644

/** What there is to do so that containerd on the machine pulls from the facade beside it; nothing where it does. */
export function planSetup({ hostfs, hostname, port, ca }: SetupOptions): readonly Change[] {
  const files = new HostFiles(hostfs)
  const directory = `${CERTS_DIRECTORY}/${hostname}:${port}`
  const authority = `${directory}/ca.crt`
  const hosts = files.read(HOSTS) ?? ""
  return [
    // containerd must never find a hosts.toml whose authority is not there yet
    ...(ca === null ? [] : fileChange(files, authority, ca, FILE_MODE)),
    ...fileChange(files, `${directory}/hosts.toml`, hostsToml(`${hostname}:${port}`, ca !== null), FILE_MODE),
    ...(ca === null && files.read(authority) !== null ? [removal(files, authority)] : []),
    ...modeChange(files, directory),
    ...fileChange(files, HOSTS, withHost(hosts, hostname), null),
  ]
}

/** What there is to do so that nothing of it is left; files that somebody else wrote stay. */
export function planRemoval({ hostfs, hostname, port }: Omit<SetupOptions, "ca">): readonly Change[] {
  const files = new HostFiles(hostfs)
  const directory = `${CERTS_DIRECTORY}/${hostname}:${port}`
  const toml = `${directory}/hosts.toml`
  const hosts = files.read(HOSTS)
  const isOurs = files.read(toml)?.startsWith(MARK) === true
  const ours = [toml, `${directory}/ca.crt`].filter((path) => isOurs && files.read(path) !== null)
  const last = { text: `remove ${directory}`, apply: () => files.removeDirectory(directory) }
  return [
    ...(hosts === null ? [] : fileChange(files, HOSTS, withoutHost(hosts, hostname), null)),
    ...ours.map((path) => removal(files, path)),
    ...(isOurs ? [last] : []),
  ]
}

/** What keeps containerd from looking at what `setup` writes, as far as its configuration tells; null: nothing. */
export function missingConfigPath(hostfs: string): string | null {
  const config = new HostFiles(hostfs).read(CONFIG)
  if (config === null || /^\s*config_path\s*=\s*["'][^"']/m.test(config) || /^\s*version\s*=\s*[3-9]/m.test(config))
    return null
  return `${CONFIG} sets no config_path: containerd 1.x does not read ${CERTS_DIRECTORY} unless it is "${CERTS_DIRECTORY}"`
}

/** containerd's docs/hosts.md; a relative path is relative to the file. */
const hostsToml = (host: string, hasAuthority: boolean): string => `${MARK}
server = "https://${host}"

[host."https://${host}"]
  capabilities = ["pull", "resolve"]
${hasAuthority ? '  ca = "ca.crt"\n' : ""}`

function fileChange(files: HostFiles, path: string, content: string, mode: number | null): readonly Change[] {
  const isSame = (files.read(path) ?? "") === content && (mode === null || files.mode(path) === mode)
  return isSame ? [] : [{ text: `write ${path}`, apply: () => files.write(path, content, mode) }]
}

const removal = (files: HostFiles, path: string): Change => ({
  text: `remove ${path}`,
  apply: () => files.remove(path),
})

/** The original made the directory with a mode that lets only root look into it. */
function modeChange(files: HostFiles, path: string): readonly Change[] {
  const mode = files.mode(path)
  if (mode === null || mode === DIRECTORY_MODE) return []
  return [{ text: `set the mode of ${path} to 755`, apply: () => files.setMode(path, DIRECTORY_MODE) }]
}
