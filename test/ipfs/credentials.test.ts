import { expect, test } from "bun:test"
import { splitCredentials } from "../../src/ipfs/credentials.ts"

test("the user and password of an address become a header, whatever letters they have", () => {
  const { authorization, url } = splitCredentials(new URL("http://us%40er:p%C3%A4ss%3A@ipfs.test:5001/x"))

  expect(url.href).toBe("http://ipfs.test:5001/x")
  expect(Buffer.from((authorization ?? "").slice("Basic ".length), "base64").toString()).toBe("us@er:päss:")
  expect(splitCredentials(new URL("http://ipfs.test")).authorization).toBeNull()
})
