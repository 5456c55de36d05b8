import { expect, test } from "bun:test"
import Ajv from "ajv"
import type { RawAnswer } from "./raw-http.ts"

interface Operation {
  readonly operationId: string
  readonly parameters?: readonly {
    readonly name: string
    readonly in: string
    readonly required?: boolean
    readonly schema: { readonly type: string }
  }[]
  readonly responses: Readonly<
    Record<
      string,
      {
        readonly description: string
        readonly headers?: Readonly<Record<string, unknown>>
        readonly content?: Readonly<Record<string, unknown>>
      }
    >
  >
}

/** As a port gives it at /swagger/json. */
export interface OpenApi {
  readonly openapi: string
  readonly info: { readonly title: string; readonly version: string }
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
  readonly components: { readonly schemas: Readonly<Record<string, unknown>> }
}

type Get = (path: string) => Promise<RawAnswer>

export const readOpenApi = async (get: Get): Promise<OpenApi> =>
  JSON.parse((await get("/swagger/json")).body.toString())

export const operationsOf = (api: OpenApi) =>
  Object.entries(api.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
  )

/** What holds for the document of every port, and for its page. */
export function documentationTests(api: () => OpenApi, get: Get): void {
  test("/swagger/json is an OpenAPI 3 document in which nothing that is required is missing", () => {
    expect(api().openapi).toMatch(/^3\.\d+\.\d+$/)
    expect(api().info.version).toMatch(/^\d+\.\d+\.\d+/)
    for (const { path, operation } of operationsOf(api())) {
      const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name ?? "")
      const parameters = operation.parameters ?? []
      const described = parameters.filter((parameter) => parameter.in === "path")
      expect([path, described.map(({ name }) => name).sort()]).toEqual([path, inPath.sort()])
      expect(described.every(({ required }) => required === true)).toBe(true)
      for (const { name, schema } of parameters) {
        expect([name, schema.type]).toEqual([name, name === "n" ? "integer" : "string"])
      }
      expect(Object.keys(operation.responses).length).toBeGreaterThan(0)
      for (const [status, { description }] of Object.entries(operation.responses)) {
        expect([status, description.length > 0]).toEqual([status, true])
        expect(status).toMatch(/^[1-5]\d\d$/)
      }
    }
  })

  test("operations have names that differ", () => {
    const ids = operationsOf(api()).map(({ operation }) => operation.operationId)

    expect(new Set(ids).size).toBe(ids.length)
  })

  test("every reference inside the document leads somewhere", () => {
    const references = [...JSON.stringify(api()).matchAll(/"\$ref":"([^"]+)"/g)].map(([, target]) => target ?? "")

    expect(references.length).toBeGreaterThan(0)
    for (const reference of references)
      expect(Object.keys(api().components.schemas)).toContain(reference.replace("#/components/schemas/", ""))
  })

  test("/swagger needs no other host: all that it loads is here", async () => {
    const page = await get("/swagger")
    const html = page.body.toString()
    const links = [...html.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, link]) => link ?? "")

    expect([page.status, page.header("content-type")]).toEqual([200, "text/html; charset=utf-8"])
    expect(html).not.toMatch(/https?:|"\/\//)
    expect(links.length).toBeGreaterThan(2)
    for (const link of links) {
      const { pathname } = new URL(link, "http://localhost/swagger")
      const answer = await get(pathname)
      expect([pathname, answer.status, answer.body.byteLength > 100]).toEqual([pathname, 200, true])
      expect(answer.header("x-content-type-options")).toBe("nosniff")
    }
    expect(html).toContain('url: "swagger/json"')
  })
}

export type AnswerCheck = (answer: RawAnswer, path: string, method?: string) => void

/** What every answer has, so that it is not told of each. */
const COMMON = ["date", "connection", "content-type", "transfer-encoding", "x-content-type-options"]
const WITHOUT_BODY = [204, 302, 304]

/** Checks that an answer is as the document says: its status, its headers, the type of its body, and the body if it is JSON. */
export function createAnswerCheck(api: OpenApi, common: readonly string[] = []): AnswerCheck {
  const ajv = new Ajv({ strict: false, formats: { "date-time": true, binary: true } }).addSchema({ $id: "api", ...api })
  return (answer, path, method = "get") => {
    const status = String(answer.status)
    const told = api.paths[path]?.[method]?.responses[status]
    expect(told).toBeDefined()
    const toldNames = Object.keys(told?.headers ?? {}).map((name) => name.toLowerCase())
    const names = answer.headers.map(([name]) => name).filter((name) => ![...COMMON, ...common].includes(name))
    expect(names.filter((name) => !toldNames.includes(name))).toEqual([])
    expect([status, answer.body.byteLength === 0]).toEqual([status, WITHOUT_BODY.includes(answer.status)])
    if (answer.body.byteLength === 0) return
    const known = Object.keys(told?.content ?? {})
    const type = known.includes("*/*") ? "*/*" : (answer.header("content-type") ?? "")
    expect(known).toContain(type)
    if (answer.header("content-type") !== "application/json") return
    const pointer = ["paths", path, method, "responses", status, "content", type, "schema"]
      .map((part) => encodeURIComponent(part.replaceAll("~", "~0").replaceAll("/", "~1")))
      .join("/")
    const isValid = ajv.compile({ $ref: `api#/${pointer}` })
    expect([isValid(JSON.parse(answer.body.toString())), isValid.errors]).toEqual([true, null])
  }
}
