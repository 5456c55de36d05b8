import { afterEach } from "bun:test"

interface Stoppable {
  stop(): unknown
}

/** For what the tests of a file start: it is stopped after each of them, the latest first. */
export function stoppedAfterEach(): Pick<Stoppable[], "push"> {
  const started: Stoppable[] = []
  afterEach(async () => {
    for (const one of started.splice(0).reverse()) await one.stop()
  })
  return started
}
