import { mkdir, readdir } from "node:fs/promises"
import { join } from "node:path"
import { run } from "./run.ts"

/** Debian's name of a processor architecture. */
export type Architecture = "amd64" | "arm64"

/** What distroless/base has for a program that needs the C library: the library, time zones, and certificates. */
const PACKAGES = ["base-files", "ca-certificates", "libc6", "netbase", "tzdata"]
const NOBODY = "65534:65534"
const NONROOT = "65532:65532"

/** Unpacks the packages of an architecture into `root`; nothing of them is run. Needs apt and dpkg, not as root. */
export async function debianRoot(architecture: Architecture, root: string, work: string): Promise<void> {
  const lists = join(work, `apt-${architecture}`)
  await mkdir(join(lists, "lists/partial"), { recursive: true })
  await mkdir(join(lists, "archives/partial"), { recursive: true })
  const apt = [
    "apt-get",
    "-q",
    ...["-o", `APT::Architecture=${architecture}`, "-o", `APT::Architectures=${architecture}`],
    ...["-o", `Dir::State=${lists}`, "-o", "Dir::State::status=/dev/null", "-o", `Dir::Cache=${lists}`],
    ...["-o", "APT::Sandbox::User=root"],
  ]
  await run([...apt, "update"])
  await run([...apt, "download", ...PACKAGES], lists)
  for (const file of await readdir(lists)) {
    if (file.endsWith(".deb")) await run(["dpkg", "-x", join(lists, file), root])
  }
  await finish(root)
}

/** What the packages' scripts would do, as far as a single program needs it. */
async function finish(root: string): Promise<void> {
  const authorities = join(root, "usr/share/ca-certificates/mozilla")
  const files = (await readdir(authorities)).sort()
  const pem = await Promise.all(files.map((file) => Bun.file(join(authorities, file)).text()))
  await Bun.write(join(root, "etc/ssl/certs/ca-certificates.crt"), pem.join(""))
  await Bun.write(
    join(root, "etc/passwd"),
    `root:x:0:0:root:/root:/sbin/nologin\nnobody:x:${NOBODY}:nobody:/nonexistent:/sbin/nologin\nnonroot:x:${NONROOT}:nonroot:/home/nonroot:/sbin/nologin\n`,
  )
  await Bun.write(join(root, "etc/group"), "root:x:0:\nnogroup:x:65534:\nnonroot:x:65532:\n")
  await Bun.write(join(root, "etc/nsswitch.conf"), "hosts: files dns\n")
}
