import { Dialer } from "../../src/egress/dialer.ts"
import type { Egress, EgressRequest } from "../../src/egress/egress.ts"
import { fetchEgress } from "../../src/egress/fetch-egress.ts"
import { Guard } from "../../src/egress/guard.ts"
import { NO_PROXIES } from "../../src/egress/proxy.ts"
import { followRedirects } from "../../src/egress/redirects.ts"
import { probeTcp } from "../../src/egress/tcp-probe.ts"
import { systemClock } from "../../src/lib/clock.ts"

/** The real way out, with short deadlines. */
export function testEgress(): Egress {
  const lookup = async (hostname: string) => [hostname === "localhost" ? "127.0.0.1" : hostname]
  const dialer = new Dialer({ clock: systemClock, connectMs: 5000, lookup, probe: probeTcp })
  const direct = fetchEgress({
    clock: systemClock,
    dialer,
    guard: new Guard({ dialer, isNamed: () => false }),
    proxies: NO_PROXIES,
    firstByteMs: 5000,
    progressMs: 5000,
    trickleBytes: 0,
    trickleMs: 60_000,
    hostSettings: async () => ({ insecureSkipVerify: false, ca: null }),
  })
  return followRedirects(direct, { allowsPlainHTTP: () => true })
}

/** Notes what is sent, and sends it. */
export function watchedEgress(egress: Egress = testEgress()): {
  readonly egress: Egress
  readonly sent: EgressRequest[]
} {
  const sent: EgressRequest[] = []
  return {
    sent,
    egress: async (request, signal) => {
      sent.push(request)
      return await egress(request, signal)
    },
  }
}
