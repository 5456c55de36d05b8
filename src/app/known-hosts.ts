import type { RegistryConfig } from "../config/load.ts"
import { Dialer } from "../egress/dialer.ts"
import type { Egress } from "../egress/egress.ts"
import { limiting } from "../egress/limited-egress.ts"
import { pacing } from "../egress/paced-egress.ts"
import { probeTcp } from "../egress/tcp-probe.ts"
import { ImageMemory } from "../facade/image-memory.ts"
import { canonicalHost, type Trust } from "../oci/reference.ts"
import { AccessMemory } from "../upstream/access-memory.ts"
import type { Tools } from "./tools.ts"
import { byURLHost } from "./upstream-hosts.ts"

/** What was learnt about other hosts: it holds, however the configuration changes. */
export interface KnownHosts {
  readonly dialer: Dialer
  /** Puts what hosts have asked for, and how much they may be asked at once, before an egress. */
  readonly mannered: (egress: Egress) => Egress
  /** What the specs of operators have brought to light is no answer to those of others. */
  readonly images: Readonly<Record<Trust, ImageMemory>>
  readonly access: Readonly<Record<Trust, AccessMemory>>
  /** After a change of the configuration: no metric tells of hosts any more that it does not name. */
  forgetUnnamed(): void
}

/** `settings` gives the configuration in use. */
export function knownHosts(settings: () => RegistryConfig, { metrics, tuning }: Tools): KnownHosts {
  const { clock, lookup } = tuning
  const egress = { ...tuning.egress, ...settings().timeouts }
  const told = new Set<string>()
  const isNamed = (host: string) => byURLHost(settings(), settings().upstreams).has(host)
  const onBreaker = (host: string, isOpen: boolean) => {
    const dependency = canonicalHost(host)
    if (!isNamed(dependency)) return
    told.add(dependency)
    metrics.breakerOpen.set({ dependency }, isOpen ? 1 : 0)
  }
  const forgetUnnamed = () => {
    for (const dependency of [...told].filter((host) => !isNamed(host))) {
      told.delete(dependency)
      metrics.breakerOpen.remove({ dependency })
    }
  }
  const paced = pacing({ ...egress, clock, onBreaker })
  const limited = limiting({ ...egress, clock })
  return {
    dialer: new Dialer({ clock, connectMs: egress.connectMs, lookup, probe: probeTcp }),
    mannered: (direct) => limited(paced(direct)),
    images: { operator: new ImageMemory(), remote: new ImageMemory() },
    access: { operator: new AccessMemory(), remote: new AccessMemory() },
    forgetUnnamed,
  }
}
