import { describe, expect, test } from "bun:test"
import { parseConfig } from "../../src/oci/config.ts"

const DIFF_ID = `sha256:${"2".repeat(64)}`
const CONFIG = { os: "linux", architecture: "amd64", rootfs: { type: "layers", diff_ids: [DIFF_ID] } }
const read = (value: unknown) => parseConfig(new TextEncoder().encode(JSON.stringify(value)))

describe("parseConfig()", () => {
  test("reads what composing needs", () => {
    const config = { Env: ["A=1", "B"], Labels: { x: "y", "10": "z" } }

    expect(read({ ...CONFIG, variant: "v3", created: "2024-01-02T03:04:05Z", config })).toMatchObject({
      platform: { os: "linux", architecture: "amd64", variant: "v3" },
      diffIDs: [DIFF_ID],
      created: "2024-01-02T03:04:05Z",
      env: ["A=1", "B"],
      labels: { x: "y", "10": "z" },
    })
  })

  test.each([
    ["no config", CONFIG],
    [
      "null everywhere",
      { ...CONFIG, variant: null, created: null, history: null, config: { Env: null, Labels: null } },
    ],
    ["a null config", { ...CONFIG, config: null }],
    ["an empty variant", { ...CONFIG, variant: "" }],
  ])("takes %s as nothing", (_, value) => {
    expect(read(value)).toMatchObject({
      platform: { os: "linux", architecture: "amd64" },
      created: null,
      env: [],
      labels: {},
    })
    expect(read(value).platform).not.toHaveProperty("variant")
  })

  test.each([
    [[], "expected a JSON object"],
    [{ ...CONFIG, os: undefined }, "it does not tell its os and architecture"],
    [{ ...CONFIG, architecture: 5 }, "it does not tell its os and architecture"],
    [{ ...CONFIG, rootfs: { type: "zip", diff_ids: [] } }, 'its rootfs.type is "zip", expected "layers"'],
    [{ ...CONFIG, rootfs: undefined }, 'its rootfs.type is null, expected "layers"'],
    [{ ...CONFIG, rootfs: { type: "layers", diff_ids: ["x"] } }, 'Cannot parse diffID "x"'],
    [{ ...CONFIG, rootfs: { type: "layers", diff_ids: [7] } }, "Cannot parse diffID"],
  ])("refuses %j: %s", (value, reason) => {
    expect(() => read(value)).toThrow(reason)
  })
})
