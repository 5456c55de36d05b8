import { type TProperties, Type } from "@sinclair/typebox"

/** The kinds of fields that the configuration file has; each says what it is for. */
export const closed = <Properties extends TProperties>(properties: Properties, description?: string) =>
  Type.Object(properties, { additionalProperties: false, ...(description === undefined ? {} : { description }) })
export const text = (description: string) => Type.Optional(Type.String({ description }))
export const texts = (description: string) => Type.Optional(Type.Array(Type.String(), { description }))
export const flag = (description: string) => Type.Optional(Type.Boolean({ default: false, description }))
export const file = (description: string) =>
  Type.Optional(Type.String({ description: `${description} Relative to this file.` }))
export const bytes = (value: number, description: string) =>
  Type.Optional(Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER, default: value, description }))
export const port = (value: number, description: string) =>
  Type.Optional(Type.Integer({ minimum: 0, maximum: 65_535, default: value, description }))
/** A name, an IPv4 address, or an IPv6 address in brackets; with a port, if any. */
export const HOST = "^([A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?|\\[[0-9A-Fa-f:.]+\\])(:\\d{1,5})?$"
export const DURATION = "^(0|((\\d+(\\.\\d*)?|\\.\\d+)(ns|us|µs|μs|ms|s|m|h))+)$"
export const duration = (value: string, description: string) =>
  Type.Optional(
    Type.String({ pattern: DURATION, expected: 'a duration like "90s" or "1m30s"', default: value, description }),
  )
export const address = (description: string) =>
  Type.Optional(
    Type.String({
      pattern: "^[^:/]*(\\[[0-9a-fA-F:.]+\\])?:\\d{1,5}$|^$",
      expected: 'an address like "127.0.0.1:9500" or ":9500"',
      description,
    }),
  )
