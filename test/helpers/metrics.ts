import { eventually } from "./programs.ts"

/** Samples by their name and labels. */
export const samples = (text: string): ReadonlyMap<string, number> =>
  new Map(
    text
      .split("\n")
      .filter((line) => line !== "" && !line.startsWith("#"))
      .map((line) => [line.slice(0, line.lastIndexOf(" ")), Number(line.slice(line.lastIndexOf(" ")))]),
  )

/** What the facade counts now, without the prefix of its metrics. */
export async function scrape(address: string): Promise<(name: string) => number> {
  // The port of the registry is open a moment before this one
  const answer = await eventually(async () => await fetch(`http://${address}/metrics`))
  const values = samples(await answer.text())
  return (name) => values.get(`registry_facade_${name}`) ?? 0
}
