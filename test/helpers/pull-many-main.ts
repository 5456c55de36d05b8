/** The process of `pullMany`: prints how many clients got what. */
const [url = "", count = "0", every = "1"] = process.argv.slice(2)
const outcomes: Record<string, number> = {}

async function pull(isHashed: boolean): Promise<string> {
  try {
    const response = await fetch(url, { decompress: false })
    const hasher = new Bun.CryptoHasher("sha256")
    let bytes = 0
    for await (const chunk of response.body ?? []) {
      bytes += chunk.byteLength
      if (isHashed) hasher.update(chunk)
    }
    return `${response.status} ${isHashed ? `sha256:${hasher.digest("hex")}` : `${bytes} bytes`}`
  } catch (error) {
    return String(error)
  }
}

await Promise.all(
  Array.from({ length: Number(count) }, async (_, client) => {
    const outcome = await pull(client % Number(every) === 0)
    outcomes[outcome] = (outcomes[outcome] ?? 0) + 1
  }),
)
process.stdout.write(JSON.stringify(outcomes))

export {} // a module, which may wait at its top level
