import { describe, expect, test } from "bun:test"
import {
  bareMediaType,
  type Compression,
  type Family,
  familyOf,
  isForeignLayer,
  isMediaType,
  layerCompression,
  layerType,
  layerTypeIn,
} from "../../src/oci/media-type.ts"

const OCI = "application/vnd.oci.image.layer.v1.tar"
const OCI_FOREIGN = "application/vnd.oci.image.layer.nondistributable.v1.tar"
const DOCKER = "application/vnd.docker.image.rootfs.diff.tar"
const DOCKER_FOREIGN = "application/vnd.docker.image.rootfs.foreign.diff.tar"

describe("layer media types", () => {
  test.each([
    // type, in an OCI manifest, in a Docker manifest, compression, foreign
    [OCI, OCI, DOCKER, "none", false],
    [DOCKER, OCI, DOCKER, "none", false],
    [`${OCI}+gzip`, `${OCI}+gzip`, `${DOCKER}.gzip`, "gzip", false],
    [`${DOCKER}.gzip`, `${OCI}+gzip`, `${DOCKER}.gzip`, "gzip", false],
    [`${OCI}+zstd`, `${OCI}+zstd`, null, "zstd", false],
    [`${DOCKER}.zstd`, `${OCI}+zstd`, null, "zstd", false],
    [OCI_FOREIGN, OCI_FOREIGN, DOCKER_FOREIGN, "none", true],
    [`${OCI_FOREIGN}+gzip`, `${OCI_FOREIGN}+gzip`, `${DOCKER_FOREIGN}.gzip`, "gzip", true],
    [`${DOCKER_FOREIGN}.gzip`, `${OCI_FOREIGN}+gzip`, `${DOCKER_FOREIGN}.gzip`, "gzip", true],
    [`${OCI_FOREIGN}+zstd`, `${OCI_FOREIGN}+zstd`, null, "zstd", true],
    [`${OCI}+gzip+encrypted`, `${OCI}+gzip+encrypted`, null, null, false],
    ["application/vnd.erofs.layer.v1", "application/vnd.erofs.layer.v1", null, null, false],
  ] as [string, string, string | null, Compression | null, boolean][])(
    "%s",
    (type, oci, docker, compression, foreign) => {
      expect(layerTypeIn("oci", type)).toBe(oci)
      expect(layerTypeIn("docker", type)).toBe(docker)
      expect(layerCompression(type)).toBe(compression)
      expect(isForeignLayer(type)).toBe(foreign)
    },
  )

  test.each([
    ["oci", "none", OCI],
    ["oci", "gzip", `${OCI}+gzip`],
    ["oci", "zstd", `${OCI}+zstd`],
    ["docker", "none", DOCKER],
    ["docker", "gzip", `${DOCKER}.gzip`],
    ["docker", "zstd", `${OCI}+zstd`],
  ] as [Family, Compression, string][])("layerType(%s, %s) is %s", (family, compression, expected) => {
    expect(layerType(family, compression)).toBe(expected)
  })
})

describe("media types in general", () => {
  test.each([
    ["application/vnd.docker.container.image.v1+json", "docker"],
    ["application/vnd.oci.image.config.v1+json", "oci"],
    ["application/json", "oci"],
  ])("familyOf(%s) is %s", (type, family) => {
    expect(familyOf(type)).toBe(family as Family)
  })

  test.each([
    ["application/json", true],
    ["application/vnd.oci.image.layer.v1.tar+gzip", true],
    ["application/json; charset=utf-8", false],
    ["application", false],
    ["application/", false],
    ["/json", false],
    ["a/b/c", false],
    ["a/b\r\nx: y", false],
    ["", false],
  ])("isMediaType(%j) is %p", (text, expected) => {
    expect(isMediaType(text)).toBe(expected)
  })

  test.each([
    ["Application/JSON; charset=utf-8", "application/json"],
    [" text/html ", "text/html"],
    ["", ""],
  ])("bareMediaType(%j) is %j", (header, expected) => {
    expect(bareMediaType(header)).toBe(expected)
  })
})
