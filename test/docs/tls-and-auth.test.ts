import { describe, expect, test } from "bun:test"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { loadConfig } from "../../src/config/load.ts"
import { PRODUCTION } from "../../src/tuning.ts"
import { fencesOf, readPage } from "../helpers/markdown.ts"
import { tempDir } from "../helpers/temp-dir.ts"

const page = readPage("docs/tls-and-auth.md")
const fences = (name: string) => fencesOf(page).filter(({ language }) => language === name)

describe("docs/tls-and-auth.md", () => {
  test.each(fences("json"))("shows a file that is valid under: $heading", async ({ text }) => {
    const file = join(tempDir(), "config.json")
    writeFileSync(file, text)

    expect((await loadConfig(file)).registry?.tls).not.toBeNull()
  })

  test("shows a hosts.toml with the header that the sentence below it makes", () => {
    const [{ text } = { text: "" }] = fences("toml")
    const parsed = Bun.TOML.parse(text) as { host: Record<string, { header: { Authorization: readonly string[] } }> }
    const [value = ""] = parsed.host["https://facade.example:31750"]?.header.Authorization ?? []

    expect(Buffer.from(value.slice("Basic ".length), "base64").toString()).toBe("ann:secret")
  })

  test("tells the limits that the program has", () => {
    const { failuresPerClient, failuresPerUser, windowMs } = PRODUCTION.auth

    expect(page).toContain(`After ${failuresPerUser} wrong passwords for a user`)
    expect(page).toContain(`after ${failuresPerClient} for whichever users`)
    expect(windowMs).toBe(60_000)
    expect(page).toContain(`closed after ${PRODUCTION.tls.handoverMs / 1000} seconds`)
  })
})
