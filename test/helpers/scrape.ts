/** Samples of /metrics by their name and labels, without the product's prefix. */
export async function scrape(address: string): Promise<ReadonlyMap<string, number>> {
  const text = await (await fetch(`http://${address}/metrics`)).text()
  const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"))
  return new Map(
    lines.map((line) => {
      const space = line.lastIndexOf(" ")
      return [line.slice(0, space).replace("registry_facade_", ""), Number(line.slice(space))]
    }),
  )
}
