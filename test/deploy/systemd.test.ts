import { describe, expect, test } from "bun:test"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { BINARY } from "../helpers/facade.ts"
import { readPage } from "../helpers/markdown.ts"
import { needs, run } from "../helpers/programs.ts"
import { tempDir } from "../helpers/temp-dir.ts"

const unit = readPage("deploy/systemd/registry-facade.service")
const systemd = needs("systemd-analyze")

/** The unit with the program where it is here. */
function placedUnit(): string {
  const file = join(tempDir(), "registry-facade.service")
  writeFileSync(file, unit.replaceAll("/usr/local/bin/registry-facade", BINARY))
  return file
}

describe("deploy/systemd", () => {
  test.skipIf(systemd.isMissing)(`is a unit that systemd understands${systemd.note}`, async () => {
    const { code, stderr } = await run(["systemd-analyze", "verify", "--man=no", placedUnit()])

    expect({ code, stderr }).toEqual({ code: 0, stderr: "" })
  })

  test.skipIf(systemd.isMissing)(`exposes little of the machine${systemd.note}`, async () => {
    const { code, stdout } = await run(["systemd-analyze", "security", "--offline=yes", "--threshold=20", placedUnit()])

    expect([code, /Overall exposure level.*/.exec(stdout)?.[0] ?? stdout]).toEqual([0, expect.stringContaining("OK")])
  })

  test("leaves running transfers the time that a shutdown takes by default", () => {
    expect(Number(/^TimeoutStopSec=(\d+)$/m.exec(unit)?.[1])).toBeGreaterThan(5 + 300)
  })
})
