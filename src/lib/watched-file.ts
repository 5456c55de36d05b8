import { WatchedFiles, type WatchedFilesOptions } from "./watched-files.ts"

export interface WatchedFileOptions<Value>
  extends Omit<WatchedFilesOptions<Value>, "paths" | "parse" | "looksBeforeFailure"> {
  readonly path: string
  /** Throws when the text is not usable. */
  readonly parse: (text: string) => Value
}

/** One file that makes a value. */
export class WatchedFile<Value> {
  readonly #files: WatchedFiles<Value>

  private constructor(files: WatchedFiles<Value>) {
    this.#files = files
  }

  /** Rejects when the file cannot be used as it is now. */
  static async open<Value>({ path, parse, ...rest }: WatchedFileOptions<Value>): Promise<WatchedFile<Value>> {
    const options = { ...rest, paths: [path], parse: ([text = ""]: readonly string[]) => parse(text) }
    return new WatchedFile(await WatchedFiles.open({ ...options, looksBeforeFailure: 1 }))
  }

  /** The value of the file as it is now, or as it was when it was last usable. */
  async current(): Promise<Value> {
    return await this.#files.current()
  }

  close(): void {
    this.#files.close()
  }
}
