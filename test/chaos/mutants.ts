/** A known bug: a piece of the sources, and what a mistake would make of it. */
export interface Mutant {
  readonly name: string
  readonly file: string
  readonly from: string
  readonly to: string
  /** Of spools, how many meet a disk in trouble, where the bug needs more or fewer of them than usual. */
  readonly disk?: number
}

/** Bugs that the chaos run has to find; if it misses one, it is the run that is broken. */
export const MUTANTS: readonly Mutant[] = [
  {
    name: "digest is not compared",
    file: "blob/download.ts",
    from: "if (found === this.descriptor.digest) return true",
    to: "if (found !== this.descriptor.digest || found) return true",
  },
  {
    name: "no byte is held back",
    file: "blob/download.ts",
    from: ": Math.min(this.#have, end - 1)",
    to: ": Math.min(this.#have, end)",
  },
  {
    name: "only the last byte of the blob is held back",
    file: "blob/download.ts",
    from: ": Math.min(this.#have, end - 1)",
    to: ": Math.min(this.#have, end === this.descriptor.size ? end - 1 : end)",
  },
  {
    name: "small blobs leave before they are verified",
    file: "blob/downloads.ts",
    from: "descriptor.size <= this.#options.policy.verifyFirstBytes",
    to: "descriptor.size <= 0",
  },
  {
    name: "resumes at the beginning",
    file: "blob/open-first.ts",
    from: "openAt(blob, offset, signal)",
    to: "openAt(blob, 0, signal)",
  },
  {
    name: "keeps the position after wrong bytes",
    file: "blob/download.ts",
    from: "    this.#have = 0\n    this.#restarts",
    to: "    this.#restarts",
  },
  {
    name: "nobody is woken",
    file: "blob/download.ts",
    from: "    this.#state = state\n    this.#wake()",
    to: "    this.#state = state",
  },
  {
    name: "closes the spool while it is being kept",
    disk: 0,
    file: "blob/download.ts",
    from: "if (this.#readers.size === 0 && this.isOver)",
    to: "if (this.#readers.size === 0 && !this.isRunning)",
  },
  {
    name: "a held byte holds up the window",
    disk: 0.9,
    file: "blob/download.ts",
    from: "this.#move(reader, Number.POSITIVE_INFINITY)",
    to: "this.#move(reader, end - 1)",
  },
  {
    name: "one reader leaving ends the transfer of all",
    file: "blob/read-download.ts",
    from: "abort.abort(reason)",
    to: "download.abort(reason)",
  },
  {
    name: "every request starts a transfer",
    disk: 0,
    file: "blob/downloads.ts",
    from: "if (running === undefined) return",
    to: "if (running !== null) return",
  },
  {
    name: "slots of transfers are not given back",
    file: "blob/downloads.ts",
    from: "    await download.run()\n    release()",
    to: "    await download.run()",
  },
  {
    name: "a failure is remembered for ever",
    file: "blob/recent-failures.ts",
    from: "this.#clock.now() + this.#holdMs",
    to: "Number.POSITIVE_INFINITY",
  },
  {
    name: "gives a source up at once",
    file: "blob/attempts.ts",
    from: "candidate.failures >= most",
    to: "candidate.failures >= 1",
  },
  {
    name: "a disk that cannot be opened fails the client",
    file: "blob/fallback-spool.ts",
    from: ".catch(() => null) // whoever",
    to: ".finally(() => null) // whoever",
  },
  {
    name: "a disk that fills up fails the client",
    file: "blob/fallback-spool.ts",
    from: "const second = await this.#goOn()",
    to: "const second = this.#first",
  },
  {
    name: "memory of windows is not given back",
    disk: 0.6,
    file: "blob/window-spool.ts",
    from: "    this.#options.closed()\n",
    to: "",
  },
  {
    name: "unfinished files are left behind",
    file: "store/disk-spool.ts",
    from: "if (!this.#isKept) await rm",
    to: "if (this.#isClosed && this.#isKept) await rm",
  },
  {
    name: "a changed file is trusted",
    file: "store/file-check.ts",
    from: "stateOf(stat) === checked",
    to: "stateOf(stat) !== null",
  },
  {
    name: "a wrong file is taken for right",
    file: "store/file-check.ts",
    from: "(await hashFile(file, digest)) === digest",
    to: "(await hashFile(file, digest)) !== null",
  },
  {
    name: "credentials follow redirects",
    file: "egress/redirects.ts",
    from: "const isOwn = to.origin === url.origin",
    to: "const isOwn = url.origin !== null",
  },
  {
    name: "encoded content is taken",
    file: "egress/fetch-egress.ts",
    from: 'encoding.toLowerCase() !== "identity"',
    to: 'encoding.toLowerCase() === "identity"',
  },
  {
    name: "manifests are not verified",
    file: "upstream/registry-upstream.ts",
    from: "digestOf(bytes, digestAlgorithm(announced)) !== announced",
    to: 'announced === ("" as string)',
  },
  {
    name: "does not log in again",
    file: "upstream/registry-client.ts",
    from: "const MAX_CHALLENGES = 2",
    to: "const MAX_CHALLENGES = 0",
  },
  {
    name: "any name opens every blob",
    file: "facade/recent-images.ts",
    from: "this.#names.get(name) ?? []",
    to: "[...this.#names.values()].flat()",
  },
  {
    name: "one who leaves takes the answer from all",
    file: "lib/single-flight.ts",
    from: "if (flight.waiting === 0 && !flight.landed) void",
    to: "if (!flight.landed) void",
  },
  { name: "ranges end one byte early", file: "lib/range.ts", from: "Number(last) + 1", to: "Number(last)" },
  {
    name: "Content-Range tells one byte too many",
    file: "http/respond.ts",
    from: "end - 1}/",
    to: "end}/",
  },
]
