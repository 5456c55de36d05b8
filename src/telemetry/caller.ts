/** Where a function of the log was called: the place in the sources, and the function there. Empty where that is unknown. */
export function callerOf(log: (...parameters: never[]) => void): { readonly file?: string; readonly func?: string } {
  const holder = { stack: "" }
  Error.captureStackTrace(holder, log)
  const [, frame = ""] = holder.stack.split("\n")
  const [, func, path = "", line = ""] = /^\s*at (?:(.+) \()?([^()]+):(\d+):\d+\)?$/.exec(frame) ?? []
  const place = path === "" ? {} : { file: `${path.replace(/^.*\/(?=src\/)/, "")}:${line}` }
  return { ...place, ...(func === undefined ? {} : { func }) }
}
