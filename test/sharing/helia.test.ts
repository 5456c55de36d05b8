import { expect, setDefaultTimeout, test } from "bun:test"
import { needs, run } from "../helpers/programs.ts"

setDefaultTimeout(120_000)

const required = needs("redis-server")
test.skipIf(required.isMissing)(
  `where Kubo is missing, nodes made of helia share as it does${required.note}`,
  async () => {
    const suite = `${import.meta.dir}/two-nodes.test.ts`
    const { code, stderr } = await run([process.execPath, "test", suite], { env: { TEST_IPFS: "helia" } })

    expect(stderr).toContain("Tests of sharing run on IPFS nodes made of helia instead of Kubo.")
    expect(stderr).toContain("\n 0 fail")
    expect(code).toBe(0)
  },
)
