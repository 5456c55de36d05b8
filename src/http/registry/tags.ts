import { RegistryError } from "../../oci/error.ts"

export interface TagPage {
  readonly tags: readonly string[]
  /** Value of the Link header; null on the last page. */
  readonly link: string | null
}

export interface TagQuery {
  readonly n?: string | undefined
  readonly last?: string | undefined
}

const MAX_PAGE = 1000

/** The list that is paged. */
export interface TagList {
  /** Path of the list itself, for the link to the next page. */
  readonly path: string
  readonly tags: readonly string[]
}

/** One page of sorted tags (distribution-spec: "Listing Tags"). Throws UNSUPPORTED for a count that is none. */
export function pageTags({ path, tags }: TagList, { n, last }: TagQuery): TagPage {
  if (n !== undefined && !/^\d{1,15}$/.test(n)) {
    throw new RegistryError(
      "UNSUPPORTED",
      `Cannot list ${JSON.stringify(n.slice(0, 40))} tags: n must be a whole number`,
      { status: 400 },
    )
  }
  const size = Math.min(n === undefined ? MAX_PAGE : Number(n), MAX_PAGE)
  const rest = tags.toSorted().filter((tag) => last === undefined || tag > last)
  const page = rest.slice(0, size)
  const end = page.at(-1)
  const hasMore = end !== undefined && rest.length > page.length
  // Relative, because a proxy in front may have changed scheme and host
  return {
    tags: page,
    link: hasMore ? `<${path}?last=${encodeURIComponent(end)}&n=${size}>; rel="next"` : null,
  }
}
