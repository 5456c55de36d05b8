import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { type FileServer, startFiles } from "../helpers/files.ts"
import { image } from "../helpers/images.ts"
import { directory, rawLayer, whiteout } from "../helpers/tar-entries.ts"
import { startUpstream, type UpstreamServer } from "../helpers/upstream-server.ts"

setDefaultTimeout(20_000)

const LOW = Array.from({ length: 12_000 }, (_, at) => `f${String(at).padStart(5, "0")}`)
/** Of every ten, the first is replaced, and the second is removed. */
const REPLACED = LOW.filter((_, at) => at % 10 === 0)
const REMOVED = LOW.filter((_, at) => at % 10 === 1)
/** Has to be encoded, and is the last of a page. */
const AWKWARD = "f&=%\xe9 "

let upstream: UpstreamServer
let server: FileServer
let name: string

beforeAll(async () => {
  upstream = startUpstream()
  const low = LOW.map((file) => ({ name: `many/${file}`, content: "" }))
  const high = [
    directory("many"),
    ...REPLACED.map((file) => ({ name: `many/${file}`, content: "1" })),
    ...REMOVED.map((file) => whiteout(`many/${file}`)),
  ]
  const before = Array.from({ length: 4999 }, (_, at) => ({ name: `odd/a${at}`, content: "" }))
  const odd = [...before, { name: `odd/${AWKWARD}`, content: "" }, { name: "odd/z", content: "" }]
  upstream.add("lab/app", "1", await image({ layers: [rawLayer([...low, ...odd]), rawLayer(high)] }))
  name = `${upstream.host}/lab/app`
  server = await startFiles({ blobserve: { repos: { [name]: { layers: "all" } } } })
})

afterAll(async () => {
  await server.stop()
  upstream.stop()
})

interface Entry {
  readonly name: string
  readonly layer: number
  readonly replacedBy?: number
  readonly removedBy?: number
}

interface Directory {
  readonly entries: readonly Entry[]
  readonly next: string | null
}

/** All pages of a directory. */
async function pagesOf(path: string): Promise<readonly (readonly Entry[])[]> {
  const pages: (readonly Entry[])[] = []
  for (let after: string | null = ""; after !== null; ) {
    const response = await server.get(`/-/api/v1/images/${name}:1?path=${path}&after=${after}`)
    const { directory: page } = (await response.json()) as { readonly directory: Directory }
    pages.push(page.entries)
    after = page.next
  }
  return pages
}

/** All pages for people, by the link at the end of each. */
async function texts(path: string): Promise<readonly string[]> {
  const found: string[] = []
  for (let query: string | undefined = `?path=${path}`; query !== undefined; ) {
    const text = await server.text(`/-/images/${name}:1${query}`)
    found.push(text)
    query = /<a rel="next" href="([^"]*)">/.exec(text)?.[1]?.replaceAll("&amp;", "&")
  }
  return found
}

describe("a directory of many entries", () => {
  test("comes in pages that are together all of it", async () => {
    const pages = await pagesOf("/many")
    const expected = LOW.flatMap((file, at) => {
      if (at % 10 === 0) return [`${file} 1 seen`, `${file} 0 replaced by 1`]
      return [at % 10 === 1 ? `${file} 0 removed by 1` : `${file} 0 seen`]
    })
    const fate = ({ removedBy, replacedBy }: Entry) =>
      removedBy === undefined
        ? replacedBy === undefined
          ? "seen"
          : `replaced by ${replacedBy}`
        : `removed by ${removedBy}`

    expect(pages.flat().map((entry) => `${entry.name} ${entry.layer} ${fate(entry)}`)).toEqual(expected)
    expect(pages.map(({ length }) => length)).toEqual([5000, 4999, 3201])
  })

  test("has links for people from each page to the next", async () => {
    const pages = await texts("/many")
    const names = pages.flatMap((text) => [...text.matchAll(/>(f\d{5})</g)].map((match) => match[1] ?? ""))

    expect(pages).toHaveLength(3)
    expect([...new Set(names)]).toEqual(LOW)
    expect(names).toHaveLength(LOW.length + REPLACED.length)
  })

  test("goes on after a name of any bytes", async () => {
    expect((await pagesOf("/odd")).map((entries) => [entries.length, entries.at(-1)?.name])).toEqual([
      [5000, "f&=%\ufffd "],
      [1, "z"],
    ])
    expect((await texts("/odd")).at(-1)).toContain(">z</a>")
  })

  test("is not begun anew where the name is not encoded properly", async () => {
    const response = await server.get(`/-/api/v1/images/${name}:1?path=/many&after=%zz`)

    expect([response.status, await response.text()]).toEqual([
      400,
      "Cannot go on with the directory: ?after= is not encoded properly\n",
    ])
  })
})
