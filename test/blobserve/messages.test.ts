import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { join } from "node:path"
import { type FileServer, startFiles } from "../helpers/files.ts"
import { image, layer } from "../helpers/images.ts"
import { writeLayout } from "../helpers/oci-layout.ts"
import { tempDir } from "../helpers/temp-dir.ts"

let server: FileServer

beforeAll(async () => {
  const dir = tempDir()
  const two = await image({ layers: [await layer({ "srv/f": "below" }), await layer({ "srv/index.html": "above" })] })
  for (const name of ["one", "two", "three"]) writeLayout(join(dir, name), "1", two)
  const repos = { "oci:one": { layers: "all", workdir: "/srv" }, "oci:two": {} }
  server = await startFiles({ dir, blobserve: { repos } })
})
afterAll(() => server.stop())

const FIRST_ONLY = 'its first layer has no such file; "layers": "all" serves all layers'

describe("what is refused", () => {
  test.each([
    ["/oci:one:1/none", 404, "Cannot find /srv/none in oci:one:1: the image has no such file"],
    ["/oci:one:1/dir/", 404, "Cannot find /srv/dir/index.html in oci:one:1: the image has no such file"],
    ["/oci:one:1/caf%c3%a9%0A", 404, "Cannot find /srv/caf%C3%A9%0A in oci:one:1: the image has no such file"],
    ["/oci:two:1/srv/index.html", 404, `Cannot find /srv/index.html in oci:two:1: ${FIRST_ONLY}`],
    ["/oci:two:1/srv", 404, `Cannot find /srv/index.html in oci:two:1: ${FIRST_ONLY}`],
    ["/oci:three:1/index.html", 403, "forbidden repo: oci:three; list it in blobserve.repos"],
    ["/oci:three:1", 403, "forbidden repo: oci:three; list it in blobserve.repos"],
    ["/oci:dir/three:1/index.html", 403, "forbidden repo: oci:dir/three; list it in blobserve.repos"],
    ["/ghcr.io/acme/app:1/f", 403, "forbidden repo: ghcr.io/acme/app; list it in blobserve.repos"],
    ["/-/images/oci:three:1", 403, "forbidden repo: oci:three; list it in blobserve.repos"],
    ["/oci:two/f", 404, 'cannot parse image "oci:two/f": its tag or digest is missing'],
    ["/oci:three/f", 404, 'cannot parse image "oci:three/f": its tag or digest is missing'],
    ["/ghcr.io/acme/app/f", 404, 'cannot parse image "ghcr.io/acme/app/f": its tag or digest is missing'],
    [
      "/ubuntu:24.04/f",
      404,
      'cannot parse image "ubuntu:24.04/f": its tag or digest is missing, as "ubuntu:24.04" can only be a host and its port',
    ],
  ])("%s is %i, and why", async (path, status, text) => {
    const response = await server.get(path)

    expect([response.status, await response.text()]).toEqual([status, `${text}\n`])
    expect(response.headers.get("content-type")).toBe("text/plain; charset=utf-8")
  })

  test("a range outside of the file is, in plain text as everything else, also while the file is hot", async () => {
    for (const _ of [1, 2, 3]) {
      const response = await server.get("/oci:one:1/f", { headers: { range: "bytes=99-" } })

      expect([response.status, await response.text()]).toEqual([
        416,
        "The range cannot be satisfied: the content has 5 bytes\n",
      ])
      expect(response.headers.get("content-type")).toBe("text/plain; charset=utf-8")
      expect(response.headers.get("content-range")).toBe("bytes */5")
      expect(await server.text("/oci:one:1/f")).toBe("below")
    }
  })
})
