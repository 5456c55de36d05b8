import type { RedisSettings } from "../../src/redis/redis.ts"

/** One server on this machine that lets everybody in. */
export const settingsFor = (port: number): RedisSettings => ({
  single: { host: "127.0.0.1", port },
  sentinel: null,
  cluster: null,
  username: null,
  password: null,
  tls: null,
  keyPrefix: "",
})
