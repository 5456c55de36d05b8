import { Counter, Histogram, type Registry } from "prom-client"

/** What became of one call to a gRPC server. */
export interface GrpcCall {
  /** As in "registryfacade.SpecProvider". */
  readonly service: string
  readonly method: string
  readonly seconds: number
  /** The number of a status code; 0 is OK. */
  readonly code: number
  /** False: no message came back. */
  readonly hasAnswer: boolean
}

export interface GrpcMetrics {
  started(service: string, method: string): void
  ended(call: GrpcCall): void
}

/** The status codes in the spelling of Go's library (grpc/codes), by number. */
const CODES = [
  "OK",
  "Canceled",
  "Unknown",
  "InvalidArgument",
  "DeadlineExceeded",
  "NotFound",
  "AlreadyExists",
  "PermissionDenied",
  "ResourceExhausted",
  "FailedPrecondition",
  "Aborted",
  "OutOfRange",
  "Unimplemented",
  "Internal",
  "Unavailable",
  "DataLoss",
  "Unauthenticated",
] as const

const LABELS = ["grpc_type", "grpc_service", "grpc_method"] as const
/** Prometheus' default ones, as the original had them. */
const SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]

/** Calls to gRPC servers under the names of go-grpc-prometheus, by which dashboards find them. */
export function grpcMetrics(registry: Registry): GrpcMetrics {
  const registers = [registry]
  const counter = <Label extends string>(name: string, help: string, labelNames: readonly Label[]) =>
    new Counter({ name: `grpc_client_${name}`, help, labelNames, registers })
  const started = counter("started_total", "Calls to gRPC servers that were begun", LABELS)
  const handled = counter("handled_total", "Calls to gRPC servers that have ended, whatever came of them", [
    ...LABELS,
    "grpc_code",
  ])
  const sent = counter("msg_sent_total", "Messages sent to gRPC servers", LABELS)
  const received = counter("msg_received_total", "Messages received from gRPC servers", LABELS)
  const seconds = new Histogram({
    name: "grpc_client_handling_seconds",
    help: "Time until a call to a gRPC server had ended",
    labelNames: LABELS,
    buckets: SECONDS,
    registers,
  })
  const labels = (service: string, method: string) => ({
    grpc_type: "unary",
    grpc_service: service,
    grpc_method: method,
  })
  return {
    started: (service, method) => {
      started.inc(labels(service, method))
      sent.inc(labels(service, method))
    },
    ended: ({ service, method, code, hasAnswer, seconds: took }) => {
      const call = labels(service, method)
      handled.inc({ ...call, grpc_code: CODES[code] ?? "Unknown" })
      if (hasAnswer) received.inc(call)
      seconds.observe(call, took)
    },
  }
}
