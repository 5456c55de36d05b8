import { Counter, Gauge, Histogram, type Registry } from "prom-client"
import { BusyCounter } from "./busy-counter.ts"
import { BusyHistogram } from "./busy-histogram.ts"

const SECONDS = [0.001, 0.005, 0.02, 0.1, 0.5, 2, 10, 30, 120]
const LABELS = ["method", "code"] as const

/** The metrics of the server for files of images. Those without a prefix have the names that the original's dashboards ask for. */
export function createFileMetrics(registry: Registry) {
  const registers = [registry]
  const requests = (name: string, help: string) => new Counter({ name, help, labelNames: LABELS, registers })
  const seconds = (name: string, help: string) =>
    new Histogram({ name, help, labelNames: LABELS, buckets: SECONDS, registers })
  return {
    filesRequests: new BusyCounter({
      name: "http_server_requests_total",
      help: "Requests for files of images, by method and status",
      labelNames: LABELS,
      registers,
    }),
    filesSeconds: new BusyHistogram({
      name: "http_server_requests_duration_seconds",
      help: "Time until the answer for a file was ready to be sent",
      labelNames: LABELS,
      buckets: SECONDS,
      registers,
    }),
    clientRequests: requests("http_client_requests_total", "Requests to registries, by method and status"),
    clientSeconds: seconds("http_client_requests_duration_seconds", "Time until a registry has answered"),
    fileSpaceBytes: new Gauge({
      name: "registry_facade_file_space_bytes",
      help: "Bytes of contents in the space of the file server, where it has its own",
      registers,
    }),
    layersScanned: new Counter({
      name: "registry_facade_layers_scanned_total",
      help: "Layers that were read for their files",
      labelNames: ["result"],
      registers,
    }),
  }
}
