/** Where an image runs (image-spec: image-index.md, "platform"). */
export interface Platform {
  readonly os: string
  readonly architecture: string
  readonly variant?: string
}

const PART = /^[a-z0-9][a-z0-9._-]{0,63}$/

/** Parses `os/architecture[/variant]`. Throws TypeError. */
export function parsePlatform(text: string): Platform {
  const [os, architecture, variant, ...rest] = text.toLowerCase().split("/")
  const parts = variant === undefined ? [os, architecture] : [os, architecture, variant]
  if (rest.length > 0 || !parts.every((part) => part !== undefined && PART.test(part))) {
    throw new TypeError(
      `Cannot parse platform ${JSON.stringify(text)}: expected os/architecture or os/architecture/variant, like "linux/amd64"`,
    )
  }
  return normalized({ os: os ?? "", architecture: architecture ?? "", ...(variant === undefined ? {} : { variant }) })
}

export function formatPlatform(platform: Platform): string {
  const { os, architecture, variant } = normalized(platform)
  return variant === undefined ? `${os}/${architecture}` : `${os}/${architecture}/${variant}`
}

/** The platform of this process, as container images name it. */
export function hostPlatform(): Platform {
  const architecture = { x64: "amd64", arm64: "arm64" }[process.arch as string] ?? process.arch
  return { os: "linux", architecture }
}

const ARCHITECTURE_ALIASES = new Map(
  Object.entries({
    x86_64: "amd64",
    "x86-64": "amd64",
    aarch64: "arm64",
    armhf: "arm",
    i386: "386",
  }),
)

/** One spelling per platform: arm64/v8 is arm64, arm is arm/v7, amd64/v1 is amd64 (the convention of all runtimes). */
function normalized(platform: Platform): Platform {
  const architecture = ARCHITECTURE_ALIASES.get(platform.architecture) ?? platform.architecture
  const variant = normalizedVariant(architecture, platform.variant ?? "")
  return variant === "" ? { os: platform.os, architecture } : { os: platform.os, architecture, variant }
}

function normalizedVariant(architecture: string, variant: string): string {
  if (architecture === "arm64" && (variant === "v8" || variant === "8")) return ""
  if (architecture === "amd64" && variant === "v1") return ""
  if (architecture === "arm") return variant === "" ? "v7" : variant.startsWith("v") ? variant : `v${variant}`
  return variant
}

/**
 * How well content for `offered` runs on `wanted`: 0 not at all, higher is better. An exact match wins, then a lower
 * variant of the same architecture, as the runtimes choose.
 */
export function platformFitness(offered: Platform, wanted: Platform): number {
  const has = normalized(offered)
  const wants = normalized(wanted)
  if (has.os !== wants.os || has.architecture !== wants.architecture) return 0
  if (has.variant === wants.variant) return 100
  const level = variantLevel(has.architecture, has.variant)
  return level <= variantLevel(wants.architecture, wants.variant) ? 1 + level : 0
}

export const isSamePlatform = (one: Platform, other: Platform): boolean => formatPlatform(one) === formatPlatform(other)

function variantLevel(architecture: string, variant: string | undefined): number {
  if (variant === undefined) return architecture === "arm64" ? 8 : 1
  const level = Number.parseInt(variant.replace(/^v/, ""), 10)
  return Number.isNaN(level) ? 99 : Math.min(level, 90)
}
