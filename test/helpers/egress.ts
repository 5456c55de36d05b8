import type { Egress, EgressRequest } from "../../src/egress/egress.ts"
import { createEgress } from "../../src/egress/fetch-egress.ts"
import { systemClock } from "../../src/lib/clock.ts"

/** The real way out, with short deadlines. */
export const testEgress = (): Egress =>
  createEgress({
    clock: systemClock,
    firstByteMs: 5000,
    progressMs: 5000,
    hostSettings: () => ({ insecureSkipVerify: false, ca: null }),
    allowsPlainHTTP: () => true,
  })

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
