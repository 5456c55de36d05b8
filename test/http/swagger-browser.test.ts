import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { type Browser, startBrowser } from "../helpers/browser.ts"
import { type RunningFacade, startFacade } from "../helpers/facade.ts"
import { needs } from "../helpers/programs.ts"

setDefaultTimeout(60_000)

const required = needs("chromium")

describe.skipIf(required.isMissing)(`/swagger in a browser${required.note}`, () => {
  let facade: RunningFacade
  let browser: Browser

  beforeAll(async () => {
    const specs = { hello: { baseRef: "scratch", layers: [{ files: { "/etc/motd": "hello" } }] } }
    facade = await startFacade({ mode: "binary", specs, registry: { prefix: "/facade" } })
    browser = await startBrowser()
  })
  afterAll(async () => {
    await browser.stop()
    await facade.stop()
  })

  test("shows every operation, and asks this registry alone", async () => {
    const page = await browser.open(`${facade.url}/swagger`)
    await page.waitFor("document.querySelectorAll('.opblock').length === 10")

    const shown = await page.evaluate(
      "[...document.querySelectorAll('.opblock')].map(({ id }) => id.replace(/.*-/, ''))",
    )
    expect(shown).toEqual(
      ["Base", "Manifest", "Blob", "Tags", "Referrers"].flatMap((name) => [`get${name}`, `head${name}`]),
    )
    expect(page.errors).toEqual([])
    expect(page.requests.length).toBeGreaterThan(3)
    expect(page.requests.filter((url) => !url.startsWith(`${facade.url}/`) && !url.startsWith("data:"))).toEqual([])
  })

  test("tries an operation out, and shows what the registry answers", async () => {
    const page = await browser.open(`${facade.url}/swagger`)
    const block = "document.querySelector('.opblock[id$=getTags]')"
    const click = async (selector: string) => {
      await page.waitFor(`${block}?.querySelector('${selector}')`)
      await page.evaluate(`${block}.querySelector('${selector}').click()`)
    }
    await click(".opblock-summary-control")
    await click(".try-out__btn")
    await page.waitFor(`${block}.querySelector('[data-param-name=name] input')`)
    await page.evaluate(`(() => {
      const input = ${block}.querySelector('[data-param-name=name] input')
      const { set } = Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value")
      set.call(input, "fixed/hello")
      input.dispatchEvent(new Event("input", { bubbles: true }))
      input.dispatchEvent(new FocusEvent("focusout", { bubbles: true }))
    })()`)
    await click(".execute")
    await page.waitFor(`${block}.querySelector('.live-responses-table .response-col_status')`)

    expect(await page.evaluate(`${block}.querySelector('.live-responses-table').innerText`)).toContain('"fixed/hello"')
    expect(page.errors).toEqual([])
    expect(page.requests.filter((url) => !url.startsWith(`${facade.url}/`) && !url.startsWith("data:"))).toEqual([])
  })
})
