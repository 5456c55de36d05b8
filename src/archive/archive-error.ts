/** The archive is damaged, goes beyond a limit, or can be read in more than one way. Nothing of it is served. */
export class ArchiveError extends Error {
  override readonly name = "ArchiveError"
}
