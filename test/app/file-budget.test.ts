import { expect, test } from "bun:test"
import { fileBudget } from "../../src/app/file-budget.ts"
import { PRODUCTION } from "../../src/tuning.ts"

test.each([64, 128, 256, 1024, 65_536])(
  "of %p files, requests and transfers get a part, and idle connections give way before none is left",
  (limit) => {
    const { requests, transfers, scarceFrom, spentFrom } = fileBudget(PRODUCTION, limit)

    expect(requests).toBeGreaterThan(4)
    expect(transfers).toBeGreaterThan(0)
    // Each of them takes a socket and a file
    expect(2 * (requests + transfers)).toBeLessThanOrEqual(limit)
    expect(requests).toBeLessThan(scarceFrom)
    expect(scarceFrom).toBeLessThan(spentFrom)
    expect(spentFrom).toBeLessThan(limit)
  },
)
