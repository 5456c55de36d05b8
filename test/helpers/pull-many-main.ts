/** The process of `pullMany`: prints how many clients got what. */
const [url = "", count = "0"] = process.argv.slice(2)
const outcomes: Record<string, number> = {}

async function pull(): Promise<string> {
  try {
    const response = await fetch(url, { decompress: false })
    const hasher = new Bun.CryptoHasher("sha256")
    for await (const chunk of response.body ?? []) hasher.update(chunk)
    return `${response.status} sha256:${hasher.digest("hex")}`
  } catch (error) {
    return String(error)
  }
}

await Promise.all(
  Array.from({ length: Number(count) }, async () => {
    const outcome = await pull()
    outcomes[outcome] = (outcomes[outcome] ?? 0) + 1
  }),
)
process.stdout.write(JSON.stringify(outcomes))

export {} // a module, which may wait at its top level
