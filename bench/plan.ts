/** How much is measured, and for how long. Sizes in bytes. */
export interface Plan {
  /** Each contender is measured so many times, in turns; the median counts. */
  readonly rounds: number
  /** The same for transfers from upstreams, which take longer, and for starts. */
  readonly transferRounds: number
  /** Of one measurement under load. */
  readonly loadSeconds: number
  /** Before the first round. */
  readonly warmSeconds: number
  readonly connections: number
  readonly smallBlobs: number
  readonly smallBytes: number
  readonly bigBytes: number
  readonly hugeBytes: number
  /** Files inside an image. */
  readonly smallFiles: number
  readonly smallFileBytes: number
  readonly largeFiles: number
  readonly largeFileBytes: number
  /** Clients of one cold blob at the same time. */
  readonly herd: number
  /** Clients of the huge blob, of which half stop reading. */
  readonly crowd: number
  readonly crowdSeconds: number
  /** Of archives, uncompressed: the one that is read as fast as it goes, and the one that a cold file is in. */
  readonly scanBytes: number
  readonly firstBytes: number
  /** Of the upstream that is as far away as upstreams are. */
  readonly upstreamBytesPerSecond: number
  readonly upstreamDelayMs: number
  /** After this the run gives up. */
  readonly deadlineMs: number
}

const KIB = 1024
const MIB = 1024 * KIB

export const FULL: Plan = {
  rounds: 5,
  transferRounds: 3,
  loadSeconds: 1,
  warmSeconds: 3,
  connections: 32,
  smallBlobs: 100,
  smallBytes: 4 * KIB,
  bigBytes: 256 * MIB,
  hugeBytes: 1024 * MIB,
  smallFiles: 100,
  smallFileBytes: 10 * KIB,
  largeFiles: 4,
  largeFileBytes: 5 * MIB,
  herd: 50,
  crowd: 200,
  crowdSeconds: 4,
  scanBytes: 2048 * MIB,
  firstBytes: 256 * MIB,
  upstreamBytesPerSecond: 125_000_000,
  upstreamDelayMs: 20,
  deadlineMs: 300_000,
}

/** Everything once, as small as it goes: tells that the benchmark works, and nothing else. */
export const QUICK: Plan = {
  ...FULL,
  rounds: 1,
  transferRounds: 1,
  loadSeconds: 0.5,
  warmSeconds: 0.5,
  connections: 4,
  smallBlobs: 3,
  bigBytes: 9 * MIB,
  hugeBytes: 17 * MIB,
  smallFiles: 3,
  largeFiles: 1,
  herd: 5,
  crowd: 6,
  crowdSeconds: 0.3,
  scanBytes: 32 * MIB,
  firstBytes: 16 * MIB,
  deadlineMs: 75_000,
}
