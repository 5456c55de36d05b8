import { openSync, readFileSync, writeSync } from "node:fs"

const FILE = "/dev/cpu_dma_latency"
/** Who puts idle CPUs to sleep: "none" where the request moves nobody. */
const DRIVER = "/sys/devices/system/cpu/cpuidle/current_driver"

/**
 * Keeps idle CPUs from sleeping until this process ends, as latency tests do: what a client that sleeps takes to wake up is
 * charged to the server that wakes it, and in a virtual machine that is many times what an answer takes. Returns what to say
 * of it. (Linux, Documentation/power/pm_qos_interface.rst: the request holds as long as the file is open.)
 */
export function keepAwake(): string {
  try {
    if (readFileSync(DRIVER, "utf8").trim() === "none") throw new Error("the kernel has no driver for idle CPUs")
    writeSync(openSync(FILE, "r+"), new Int32Array([0])) // not "w", which would make a file where there is no device
    return "kept awake"
  } catch (error) {
    return `free to sleep, which costs servers that wake them: ${error instanceof Error ? error.message : error}`
  }
}
