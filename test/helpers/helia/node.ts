import { join } from "node:path"
import { withBitswap } from "@helia/bitswap"
import { withLibp2pLight } from "@helia/libp2p"
import { identify } from "@libp2p/identify"
import { plaintext } from "@libp2p/plaintext"
import { tcp } from "@libp2p/tcp"
import { yamux } from "@libp2p/yamux"
import { FsBlockstore } from "blockstore-fs"
import { FsDatastore } from "datastore-fs"
import { createHeliaLight } from "helia"

const PATIENCE_MS = 60_000

/** Blocks that were asked for, left and asked for again are sent again, and slow nodes are waited for. */
const BITSWAP = {
  doNotResendBlockWindow: 0,
  messageSendTimeout: PATIENCE_MS,
  messageReceiveTimeout: PATIENCE_MS,
  sendBlocksTimeout: PATIENCE_MS,
}

export type HeliaNode = Awaited<ReturnType<typeof startHelia>>

/** Speaks Bitswap over TCP on loopback, knows only the nodes that it is connected to, and keeps everything in `dir`. */
export async function startHelia(dir: string, swarmPort: number) {
  const blockstore = new FsBlockstore(join(dir, "blocks"))
  const datastore = new FsDatastore(join(dir, "datastore"))
  await Promise.all([blockstore.open(), datastore.open()])
  const node = withLibp2pLight(createHeliaLight({ blockstore, datastore }), {
    addresses: { listen: [`/ip4/127.0.0.1/tcp/${swarmPort}`] },
    transports: [tcp()],
    connectionEncrypters: [plaintext()], // it is all on loopback, and Bun has no ChaCha20-Poly1305 for Noise
    streamMuxers: [yamux({ streamOptions: { initialStreamWindowSize: 4 * 1024 * 1024 } })],
    services: { identify: identify() },
    connectionMonitor: { enabled: false }, // a machine that has much to do is no reason to part
  })
  const helia = withBitswap(node, BITSWAP)
  await helia.start()
  return helia
}
