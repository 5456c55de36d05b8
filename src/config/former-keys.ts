import { formatJsonPath } from "../lib/json-text.ts"
import type { Problem } from "../lib/validate.ts"

/** Keys that the original has had, or has shown in its example, and what stands for them now. */
const FORMER: Readonly<Record<string, string>> = {
  "registry.ipfs.redis":
    'is now a section of its own: "registry": { "redis": { "enabled": true, "singleHostAddr": ... } }',
  "registry.ipfs.ipfs": 'is now "registry": { "ipfs": { "enabled": true, "ipfsAddr": ... } }',
  "registry.redis.masterName": 'is now "sentinel": { "master": ... }',
  "registry.redis.sentinelAddrs": 'is now "sentinel": { "addrs": [...] }',
  "registry.redis.password": "is read from the environment: set REDIS_PASSWORD and remove this key",
}

/** For keys that configurations of the original may have: what to write in their place. */
export const explainFormerKeys = (problems: readonly Problem[]): readonly Problem[] =>
  problems.map((problem) => {
    const now = FORMER[formatJsonPath(problem.path)]
    return now === undefined ? problem : { ...problem, message: `unknown key, it ${now}` }
  })
