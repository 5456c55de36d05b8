import { parseArgs } from "node:util"
import { runChaos } from "./run-chaos.ts"

/** `bun run chaos -- --seed S --ops N`: replays a seed, or looks for a new one that finds something. */
const { values } = parseArgs({
  options: {
    seed: { type: "string", default: String(Date.now() % 1_000_000) },
    ops: { type: "string", default: "20000" },
    density: { type: "string", default: "0.7" },
    "disk-faults": { type: "string", default: "0.05" },
    clients: { type: "string", default: "128" },
    impatient: { type: "boolean", default: false },
  },
})

const report = await runChaos({
  seed: Number(values.seed),
  ops: Number(values.ops),
  density: Number(values.density),
  diskFaults: Number(values["disk-faults"]),
  clients: Number(values.clients),
  isImpatient: values.impatient,
})
const { tally, upstream, seconds, peakRssMiB, violations } = report
for (const { rule, op, text } of violations.slice(0, 20)) console.log(`${rule} op ${op}: ${text}`)
console.log(
  `seed ${values.seed}: ${tally.pulls} pulls in ${seconds.toFixed(1)} s, ${tally.completed} completed, ${tally.failed} failed as they may; ` +
    `${upstream.faults} faults of ${upstream.byFault.size} kinds in ${upstream.requests} upstream requests; slowest ${Math.round(tally.slowestMs)} ms, ${peakRssMiB} MiB; ${violations.length} violations`,
)
if (violations.length > 0) console.log(`replay with: bun run chaos -- --seed ${values.seed} --ops ${values.ops}`)
process.exit(violations.length === 0 ? 0 : 1)
