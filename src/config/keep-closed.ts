import type { Config } from "./load.ts"
import type { ConfigFile } from "./schema.ts"

/**
 * What a changed file may become while the process runs: as it is, but that nobody gets in who did not before. A line
 * that was lost in an edit must not open a registry, so a login, client certificates, and the TLS that passwords come
 * through, are taken away by a restart alone.
 */
export function keepClosed(applied: Config, next: Config): Config {
  if (applied.registry === null) return next
  if (next.registry === null) return withRegistry(next, applied.registry, applied.written.registry)
  const [before, after] = [applied.written.registry, next.written.registry]
  const keepsAuth = applied.registry.auth !== null && next.registry.auth === null
  const auth = keepsAuth ? applied.registry.auth : next.registry.auth
  const keepsTls = losesTls(applied.registry.tls, { tls: next.registry.tls, auth })
  const tls = keepsTls ? applied.registry.tls : next.registry.tls
  if (!keepsAuth && !keepsTls) return next
  const written = {
    ...after,
    ...(keepsAuth ? pick(before, ["auth", "requireAuth"]) : {}),
    ...(keepsTls ? pick(before, ["tls"]) : {}),
  }
  return withRegistry(next, { ...next.registry, auth, tls }, written)
}

type Registry = NonNullable<Config["registry"]>
type Written = ConfigFile["registry"]

const losesTls = (before: Registry["tls"], { auth, tls }: Pick<Registry, "auth" | "tls">): boolean =>
  before !== null && ((before.clientCA !== null && (tls?.clientCA ?? null) === null) || (tls === null && auth !== null))

const withRegistry = (config: Config, registry: Registry, written: Written): Config => ({
  ...config,
  registry,
  written: { ...config.written, ...(written === undefined ? {} : { registry: written }) },
})

const pick = (written: Written, keys: readonly (keyof NonNullable<Written>)[]): Partial<NonNullable<Written>> =>
  Object.fromEntries(Object.entries(written ?? {}).filter(([key]) => keys.some((wanted) => wanted === key)))
