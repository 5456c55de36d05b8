import { FFIType, ptr } from "bun:ffi"
import { readdirSync, readlinkSync } from "node:fs"
import { openLibc } from "./libc.ts"

/** asm-generic/socket.h, which x86 and ARM share. */
const SOL_SOCKET = 1
const SO_ATTACH_REUSEPORT_CBPF = 51

/** linux/bpf_common.h: end with the constant k. */
const BPF_RET_K = 0x06
const PROGRAM_BYTES = 16

/**
 * Where several sockets of this process listen on one port (SO_REUSEPORT), all new connections go to the one that was
 * opened second, and to the only one where there is one (socket(7), SO_ATTACH_REUSEPORT_CBPF). It holds for a port
 * until its last socket is closed, so it is said once, for the first. False: this system cannot do that, so that
 * connections are spread over the sockets of a port.
 */
export function steerConnectionsToSecond(): boolean {
  const libc = openLibc({
    setsockopt: {
      args: [FFIType.i32, FFIType.i32, FFIType.i32, FFIType.ptr, FFIType.u32],
      returns: FFIType.i32,
    },
  })
  if (libc === null) return false
  const program = returnOne()
  // Bun tells no descriptors; the call fails for every socket that shares no port
  const results = socketsOfProcess().map((descriptor) =>
    libc.setsockopt(descriptor, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, ptr(program), PROGRAM_BYTES),
  )
  return results.includes(0)
}

/** A sock_fprog, and behind it its one sock_filter (linux/filter.h): the place of the second socket in its group. */
function returnOne(): Uint8Array {
  const bytes = new Uint8Array(PROGRAM_BYTES + 8)
  const view = new DataView(bytes.buffer)
  view.setUint16(0, 1, true)
  view.setBigUint64(8, BigInt(ptr(bytes, PROGRAM_BYTES)), true)
  view.setUint16(PROGRAM_BYTES, BPF_RET_K, true)
  view.setUint32(PROGRAM_BYTES + 4, 1, true)
  return bytes
}

function socketsOfProcess(): readonly number[] {
  try {
    return readdirSync("/proc/self/fd").filter(isSocket).map(Number)
  } catch {
    return []
  }
}

function isSocket(descriptor: string): boolean {
  try {
    return readlinkSync(`/proc/self/fd/${descriptor}`).startsWith("socket:")
  } catch {
    return false // closed meanwhile
  }
}
