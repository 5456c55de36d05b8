import type { AuthLimits } from "./auth/htpasswd-authenticator.ts"
import type { DownloadPolicy } from "./blob/downloads.ts"
import type { OpenSpool } from "./blob/spool.ts"
import { systemLookup } from "./egress/lookup.ts"
import { NO_PROXIES, type ProxySettings } from "./egress/proxy.ts"
import type { IpfsPolicy } from "./ipfs/ipfs-source.ts"
import type { PublishPolicy } from "./ipfs/publisher.ts"
import type { TurnsPolicy } from "./ipfs/turns.ts"
import { type Clock, systemClock } from "./lib/clock.ts"
import type { RedisPolicy } from "./redis/redis.ts"
import type { RemoteSpecPolicy } from "./spec/remote.ts"

/** Patience with the IPFS node, in milliseconds. */
export interface IpfsTuning {
  readonly source: IpfsPolicy
  readonly turns: TurnsPolicy
  readonly publish: PublishPolicy
  readonly breaker: { readonly failures: number; readonly openMs: number; readonly maxOpenMs: number }
  /** Towards the node itself, and between two pieces of what it sends. */
  readonly egress: Pick<Tuning["egress"], "connectMs" | "firstByteMs" | "progressMs" | "trickleBytes" | "trickleMs">
  /** After the start, when connections are up. */
  readonly firstHousekeepingMs: number
  readonly housekeepingMs: number
  /** After a round that failed. */
  readonly housekeepingRetryMs: number
  /** For one round of it. */
  readonly housekeepingLimitMs: number
}

/** Time, chance, disk, and every number that decides how patient the program is; tests give others. */
export interface Tuning {
  readonly clock: Clock
  /** Between 0 and 1. */
  readonly random: () => number
  /** Stands between the program and its disk. */
  readonly disk: (open: OpenSpool) => OpenSpool
  readonly proxies: ProxySettings
  /** All addresses of a host. Rejects when it has none. */
  readonly lookup: (hostname: string) => Promise<readonly string[]>
  readonly downloads: Omit<DownloadPolicy, "random">
  readonly documents: {
    readonly attempts: number
    readonly baseMs: number
    readonly capMs: number
    /** The longest wait that an upstream may ask for. */
    readonly patienceMs: number
    /** No attempt begins later than this after the first. */
    readonly budgetMs: number
    /** How long an upstream may take for a tag that is known; how soon one that fails is asked for it again. */
    readonly staleAfterMs: number
    readonly staleAgainMs: number
  }
  /** Specs from other servers. */
  readonly specs: RemoteSpecPolicy & {
    /** How long a server may take to answer, for each attempt. */
    readonly attemptsMs: readonly number[]
  }
  /** When static layers that cannot be loaded are tried again. */
  readonly staticLayers: { readonly baseMs: number; readonly capMs: number; readonly staleMs: number }
  /** How long a client waits for an image to be composed before it is told to come back; clients give up at 30 s. */
  readonly composing: { readonly patienceMs: number }
  readonly egress: {
    /** From a request to the first byte of its answer. */
    readonly firstByteMs: number
    /** Until a connection is open. */
    readonly connectMs: number
    /** Between two pieces of a body. */
    readonly progressMs: number
    /** Fewer bytes than this within `trickleMs` are no progress. */
    readonly trickleBytes: number
    readonly trickleMs: number
    readonly perHost: number
    readonly queueMs: number
    /** How long a request waits for a host that has asked to be left alone, and the longest time that it can ask for. */
    readonly patienceMs: number
    readonly maxPauseMs: number
    /** Failures in a row after which a host is left alone; for how long at first, and at most. */
    readonly failures: number
    readonly openMs: number
    readonly maxOpenMs: number
  }
  readonly credentials: {
    /** How long a credential helper may take, and how long its answer is used again. */
    readonly helperMs: number
    readonly knownMs: number
    /** How long a credential that was refused is not tried again. */
    readonly refusedMs: number
  }
  /** Memory for blobs that no disk can take. */
  readonly windows: { readonly count: number; readonly bytes: number; readonly patienceMs: number }
  /** How long a client may take nothing of its answer, once half of the requests that can be served are in progress. */
  readonly serving: {
    readonly stallSeconds: number
    readonly idleSeconds: number
    /** How often it is looked whether idle connections have to give way. */
    readonly openFilesMs: number
  }
  /** Of the files inside images. */
  readonly files: {
    readonly scan: {
      /** What an archive may be at most. */
      readonly limits: {
        readonly maxEntries: number
        readonly maxNameBytes: number
        readonly maxBytes: number
        readonly maxRatio: number
        readonly ratioFromBytes: number
      }
      readonly concurrency: number
      /** Beside those, layers that wait for slow sources; and layers of both kinds that one host sends. */
      readonly slow: number
      readonly perHost: number
      /** A source that gives fewer bytes than this in that time is slow. */
      readonly pace: { readonly ms: number; readonly bytes: number }
      /** How long a layer that could not be read is not tried again. */
      readonly failureMs: number
      /** How long it takes until a layer that could not be kept is read again to be kept. */
      readonly unkeptMs: number
      /** How long the end of the process waits for layers to be kept that are read already. */
      readonly keepMs: number
      /** Memory for indexes of layers. */
      readonly memoryBytes: number
    }
    /** Memory for small files. */
    readonly memoryBytes: number
    /** How long a file is still read out of its layer that nobody waits for any more. */
    readonly lingerMs: number
    /** Between two attempts to read an image that should be ready before the server is. */
    readonly prePullRetryMs: number
    /** From the start, how long the server is not ready because of failures to read such an image that may pass. */
    readonly prePullPatienceMs: number
  }
  readonly maintenanceMs: number
  /** How long what a name has stood for may still be read under it, and is not evicted. */
  readonly recentMs: number
  readonly redis: RedisPolicy
  readonly ipfs: IpfsTuning
  /** How long the end may take once running transfers are cut off. */
  readonly shutdown: { readonly cutMs: number }
  readonly auth: AuthLimits
  readonly tls: {
    /** From a new certificate until idle connections of the old one are closed. */
    readonly handoverMs: number
  }
}

const MIB = 1024 * 1024

export const PRODUCTION: Tuning = {
  clock: systemClock,
  random: Math.random,
  disk: (open) => open,
  proxies: NO_PROXIES,
  lookup: systemLookup,
  downloads: {
    perSource: 6,
    baseMs: 50,
    capMs: 5000,
    patienceMs: 120_000,
    verifyFirstBytes: 8 * MIB,
    hintHoldMs: 10_000,
    firstByteMs: 25_000,
    lingerMs: 5000,
    finishBytes: 64 * MIB,
    concurrency: 256,
    firstConcurrency: 32,
    rampMs: 2000,
    queueMs: 10_000,
    failureMs: 1000,
    distrustMs: 600_000,
  },
  documents: {
    attempts: 4,
    baseMs: 50,
    capMs: 5000,
    patienceMs: 10_000,
    budgetMs: 15_000,
    staleAfterMs: 3000,
    staleAgainMs: 5000,
  },
  specs: {
    attemptsMs: [2000, 8000],
    ttlMs: 30_000,
    unknownTtlMs: 1000,
    failureMs: 500,
    staleMs: 60 * 60_000,
    probeMs: 15_000,
  },
  staticLayers: { baseMs: 1000, capMs: 30_000, staleMs: 5000 },
  composing: { patienceMs: 25_000 },
  egress: {
    connectMs: 5000,
    firstByteMs: 30_000,
    progressMs: 30_000,
    trickleBytes: 60 * 1024,
    trickleMs: 60_000,
    perHost: 64,
    queueMs: 10_000,
    patienceMs: 10_000,
    maxPauseMs: 60_000,
    failures: 5,
    openMs: 1000,
    maxOpenMs: 5000,
  },
  credentials: { helperMs: 10_000, knownMs: 60_000, refusedMs: 10_000 },
  windows: { count: 16, bytes: 4 * MIB, patienceMs: 10_000 },
  serving: { stallSeconds: 240, idleSeconds: 180, openFilesMs: 500 },
  files: {
    scan: {
      limits: {
        maxEntries: 1_000_000,
        maxNameBytes: 128 * MIB,
        maxBytes: 10 * 1024 * MIB,
        maxRatio: 200,
        ratioFromBytes: 64 * MIB,
      },
      concurrency: 2,
      slow: 8,
      perHost: 4,
      pace: { ms: 1000, bytes: 256 * 1024 },
      failureMs: 5000,
      unkeptMs: 60_000,
      keepMs: 5000,
      memoryBytes: 256 * MIB,
    },
    memoryBytes: 64 * MIB,
    lingerMs: 10_000,
    prePullRetryMs: 10_000,
    prePullPatienceMs: 120_000,
  },
  maintenanceMs: 10 * 60 * 1000,
  recentMs: 60 * 60 * 1000,
  redis: { connectMs: 500, commandMs: 200, failures: 3, openMs: 1000, maxOpenMs: 30_000 },
  ipfs: {
    source: { probeMs: 250, localMs: 1000, swarmMs: 2500, hedgeMs: 400, shunMs: 5 * 60_000 },
    turns: {
      baseMs: 3000,
      perMebibyteMs: 200,
      waitMs: 10_000,
      firstPollMs: 100,
      maxPollMs: 1000,
      renewMs: 5000,
      hasteMs: 60_000,
    },
    publish: {
      concurrency: 2,
      queueEntries: 256,
      queueBytes: 20 * 1024 * MIB,
      baseMs: 60_000,
      perMebibyteMs: 200,
      askMs: 5000,
      trustMs: 10 * 60_000,
      attempts: 8,
      retry: { baseMs: 1000, capMs: 5 * 60_000 },
    },
    breaker: { failures: 4, openMs: 10_000, maxOpenMs: 120_000 },
    egress: { connectMs: 500, firstByteMs: 3000, progressMs: 2000, trickleBytes: 512 * 1024, trickleMs: 2000 },
    firstHousekeepingMs: 2000,
    housekeepingMs: 10 * 60_000,
    housekeepingRetryMs: 30_000,
    housekeepingLimitMs: 5 * 60_000,
  },
  shutdown: { cutMs: 2000 },
  auth: {
    // Half of the cores: the other half of the threads that files are read with stays free of passwords
    checks: { concurrency: Math.max(1, Math.floor(navigator.hardwareConcurrency / 2)), waiting: 32 },
    failuresPerUser: 10,
    failuresPerClient: 30,
    windowMs: 60_000,
    clients: 10_000,
    logins: 1000,
  },
  tls: { handoverMs: 5000 },
}
