import { askTls } from "./tls-client.ts"

/**
 * A program of its own, so that it connects while the server is busy: asks over new connections, 16 at a time, until
 * its input ends; then prints what has come of them, by outcome.
 */
const port = Number(process.argv[2])
let isOver = false
void Bun.stdin.text().then(() => {
  isOver = true
})
const outcomes: Record<string, number> = {}

async function keepAsking(): Promise<void> {
  while (!isOver) {
    const outcome = await askTls(port, "/small").then(
      ({ text }) => text.slice(0, "HTTP/1.1 200".length),
      (error: Error) => error.message,
    )
    outcomes[outcome] = (outcomes[outcome] ?? 0) + 1
  }
}

await Promise.all(Array.from({ length: 16 }, keepAsking))
await Bun.write(Bun.stdout, JSON.stringify(outcomes))
