import { createServer } from "node:http"
import { heliaGateway } from "./gateway.ts"
import { startHelia } from "./node.ts"
import { heliaRpc } from "./rpc.ts"

/** A process of its own, so that it can be frozen and killed like a real node: `main.ts DIR API GATEWAY SWARM`, with ports. */
const [dir = "", ...ports] = process.argv.slice(2)
const [api = 0, gateway = 0, swarm = 0] = ports.map(Number)
const helia = await startHelia(dir, swarm)
const answer = heliaGateway(helia)
createServer((request, response) => void answer(request, response)).listen(gateway, "127.0.0.1")
Bun.serve({
  hostname: "127.0.0.1",
  port: api,
  idleTimeout: 0,
  maxRequestBodySize: 1e9,
  fetch: heliaRpc(helia, dir),
})
