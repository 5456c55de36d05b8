import { Client, credentials } from "@grpc/grpc-js"
import { CONTAINERDS, type ContainerdPrograms, startContainerdProcess } from "./containerd-process.ts"

/** containerd as a kubelet drives it; needs root. */
export interface Cri {
  /** Pulls as for a pod; the id of the image. Rejects with what the kubelet would show. */
  pull(reference: string): Promise<string>
  stop(): Promise<void>
}

/** A text as a protobuf's first field; texts here are short. */
function firstField(content: Buffer): Buffer {
  if (content.byteLength > 127) throw new RangeError("The length takes more than a byte")
  return Buffer.concat([Buffer.from([0x0a, content.byteLength]), content])
}

export async function startCri(programs: ContainerdPrograms = CONTAINERDS[0]): Promise<Cri> {
  const settings = `[plugins."io.containerd.grpc.v1.cri"]
  stream_server_port = "0"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "native"`
  const { socket, stop } = await startContainerdProcess(programs, { settings })
  const client = new Client(`unix:${socket}`, credentials.createInsecure())
  return {
    pull: async (reference) => {
      const { promise, resolve, reject } = Promise.withResolvers<string>()
      client.makeUnaryRequest<Buffer, Buffer>(
        "/runtime.v1.ImageService/PullImage",
        (bytes) => bytes,
        (bytes) => bytes,
        firstField(firstField(Buffer.from(reference))), // PullImageRequest.image.image
        { deadline: Date.now() + 15_000 },
        (error, answer) => (error === null ? resolve(String(answer?.subarray(2))) : reject(error)),
      )
      return await promise
    },
    stop: async () => {
      client.close()
      await stop()
    },
  }
}
