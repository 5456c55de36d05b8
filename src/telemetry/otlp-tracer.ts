import { AsyncLocalStorage } from "node:async_hooks"
import { type Context, type Span as OtelSpan, ROOT_CONTEXT, SpanKind, SpanStatusCode, trace } from "@opentelemetry/api"
import { type ExportResult, ExportResultCode, W3CTraceContextPropagator } from "@opentelemetry/core"
import { JsonTraceSerializer } from "@opentelemetry/otlp-transformer"
import { resourceFromAttributes } from "@opentelemetry/resources"
import {
  BatchSpanProcessor,
  ParentBasedSampler,
  type ReadableSpan,
  type SpanExporter,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from "@opentelemetry/sdk-trace"
import { errorText, type Logger } from "./log.ts"
import type { Span, SpanOptions, Tracer } from "./tracer.ts"

export interface OtlpTracerOptions {
  /** Part of the requests that are recorded, of those whose caller has not decided it, from 0 to 1. */
  readonly sampleRatio: number
  readonly version: string
  /** Sends one batch (OTLP/HTTP, JSON). */
  readonly send: (batch: Uint8Array<ArrayBuffer>) => Promise<void>
  readonly log: Logger
}

const QUEUE_SPANS = 2048
const BATCH_SPANS = 256
const EVERY_MS = 2000
const PATIENCE_MS = 5000
const KINDS = { server: SpanKind.SERVER, client: SpanKind.CLIENT, internal: SpanKind.INTERNAL } as const

/** Spans for an OpenTelemetry collector. What the queue has no room for is left out. */
export class OtlpTracer implements Tracer {
  readonly #provider: TracerProvider
  readonly #active = new AsyncLocalStorage<Context>()
  readonly #propagator = new W3CTraceContextPropagator()

  constructor({ sampleRatio, version, send, log }: OtlpTracerOptions) {
    const processor = new BatchSpanProcessor({
      exporter: batchExporter(send, log),
      maxQueueSize: QUEUE_SPANS,
      maxExportBatchSize: BATCH_SPANS,
      scheduledDelayMillis: EVERY_MS,
      exportTimeoutMillis: PATIENCE_MS,
    })
    this.#provider = new TracerProvider({
      resource: resourceFromAttributes({ "service.name": "registry-facade", "service.version": version }),
      sampler: new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(sampleRatio) }),
      spanProcessors: [processor],
    })
  }

  async span<Result>(name: string, options: SpanOptions, work: (span: Span) => Promise<Result>): Promise<Result> {
    const { attributes, incoming = null, kind } = options
    const parent = incoming === null ? (this.#active.getStore() ?? ROOT_CONTEXT) : this.#contextOf(incoming)
    const span = this.#provider.getTracer("registry-facade").startSpan(name, { kind: KINDS[kind], attributes }, parent)
    const context = trace.setSpan(parent, span)
    let isHeld = false
    const end = (error: unknown) => {
      if (error !== null) span.setStatus({ code: SpanStatusCode.ERROR, message: errorText(error) })
      span.end()
    }
    const hold = () => {
      isHeld = true
      return end
    }
    try {
      const result = await this.#active.run(context, () => work({ ...this.#handle(span, context), hold }))
      if (!isHeld) end(null)
      return result
    } catch (error) {
      end(error)
      throw error
    }
  }

  async close(): Promise<void> {
    await this.#provider.shutdown().catch(() => {})
  }

  #handle(span: OtelSpan, context: Context): Omit<Span, "hold"> {
    const headers = new Map<string, string>()
    this.#propagator.inject(context, headers, { set: (carrier, key, value) => void carrier.set(key, value) })
    return { headers: Object.fromEntries(headers), set: (attributes) => void span.setAttributes({ ...attributes }) }
  }

  #contextOf(headers: Headers): Context {
    return this.#propagator.extract(ROOT_CONTEXT, headers, {
      get: (carrier, key) => carrier.get(key) ?? undefined,
      keys: (carrier) => [...carrier.keys()],
    })
  }
}

/** One line when sending begins to fail, and one when it works again. */
function batchExporter(send: OtlpTracerOptions["send"], log: Logger): SpanExporter {
  let isFailing = false
  const tell = (error: unknown) => {
    if (isFailing !== (error !== null)) {
      if (error === null) log.info("spans are sent again")
      else log.warn("cannot send spans, they are dropped until it works", { error })
    }
    isFailing = error !== null
  }
  const sendAll = async (spans: ReadableSpan[]): Promise<ExportResult> => {
    try {
      const batch = JsonTraceSerializer.serializeRequest(spans)
      if (batch !== undefined) await send(new Uint8Array(batch))
      tell(null)
      return { code: ExportResultCode.SUCCESS }
    } catch (error) {
      tell(error)
      return { code: ExportResultCode.FAILED, error: error instanceof Error ? error : new Error(String(error)) }
    }
  }
  return {
    export: (spans, done) => void sendAll(spans).then(done),
    shutdown: async () => {},
  }
}
