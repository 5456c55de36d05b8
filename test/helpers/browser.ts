import { tempDir } from "./temp-dir.ts"

/** A page in Chromium without a window, driven over its DevTools protocol. */
export interface Page {
  /** URLs of all that the page has asked for so far, whatever came of it. */
  readonly requests: readonly string[]
  /** Exceptions, and what the page or the browser wrote to the console as an error. */
  readonly errors: readonly string[]
  /** Waits until an expression is true in the page. Rejects after 30 s with what the page shows. */
  waitFor(expression: string): Promise<void>
  evaluate(expression: string): Promise<unknown>
}

export interface Browser {
  open(url: string): Promise<Page>
  stop(): Promise<void>
}

interface Message {
  readonly id?: number
  readonly method?: string
  readonly sessionId?: string
  readonly params?: Readonly<Record<string, unknown>>
  readonly result?: Readonly<Record<string, unknown>>
  readonly error?: { readonly message: string }
}

/** What it would do by itself is turned off, and no name resolves: pages reach this machine alone. */
const FLAGS = [
  "--headless=new",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-dev-shm-usage",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-extensions",
  "--disable-sync",
  "--no-first-run",
  "--no-proxy-server",
  "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
  "--remote-debugging-port=0",
]

/** Needs chromium. */
export async function startBrowser(): Promise<Browser> {
  const child = Bun.spawn(["chromium", ...FLAGS, `--user-data-dir=${tempDir()}`], {
    stdio: ["ignore", "ignore", "pipe"],
    env: { ...process.env, HOME: tempDir() },
  })
  const protocol = await connect(await devtoolsUrl(child.stderr))
  const stop = async () => {
    protocol.close()
    child.kill("SIGKILL")
    await child.exited
  }
  return { open: async (url) => await openPage(protocol, url), stop }
}

async function devtoolsUrl(stderr: ReadableStream<Uint8Array>): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  const read = async () => {
    const decoder = new TextDecoder()
    let text = ""
    for await (const chunk of stderr) {
      text += decoder.decode(chunk, { stream: true })
      const url = /DevTools listening on (ws:\S+)/.exec(text)?.[1]
      if (url !== undefined) resolve(url)
    }
    reject(new Error(`chromium has ended:\n${text}`))
  }
  void read()
  return await promise
}

interface Protocol {
  send(method: string, params?: unknown, sessionId?: string): Promise<Readonly<Record<string, unknown>>>
  listen(listener: (message: Message) => void): void
  close(): void
}

async function connect(url: string): Promise<Protocol> {
  const socket = new WebSocket(url)
  const { promise: opened, resolve, reject } = Promise.withResolvers<void>()
  socket.onopen = () => resolve()
  socket.onerror = () => reject(new Error(`Cannot connect to ${url}`))
  await opened
  const waiting = new Map<number, (message: Message) => void>()
  const listeners: ((message: Message) => void)[] = []
  socket.onmessage = ({ data }) => {
    const message: Message = JSON.parse(String(data))
    if (message.id === undefined) for (const listener of listeners) listener(message)
    else waiting.get(message.id)?.(message)
  }
  let last = 0
  return {
    listen: (listener) => void listeners.push(listener),
    close: () => socket.close(),
    send: async (method, params = {}, sessionId) => {
      last += 1
      const id = last
      const { promise, resolve } = Promise.withResolvers<Message>()
      waiting.set(id, resolve)
      socket.send(JSON.stringify({ id, method, params, sessionId }))
      const { result, error } = await promise
      waiting.delete(id)
      if (error !== undefined) throw new Error(`${method}: ${error.message}`)
      return result ?? {}
    },
  }
}

async function openPage(protocol: Protocol, url: string): Promise<Page> {
  const { targetId } = await protocol.send("Target.createTarget", { url: "about:blank" })
  const attached = await protocol.send("Target.attachToTarget", { targetId, flatten: true })
  const session = String(attached["sessionId"])
  const requests: string[] = []
  const errors: string[] = []
  protocol.listen(({ method, params = {}, sessionId }) => {
    if (sessionId !== session) return
    if (method === "Network.requestWillBeSent") requests.push(read(params, "request", "url"))
    if (method === "Network.webSocketCreated") requests.push(read(params, "url"))
    if (method === "Runtime.exceptionThrown") errors.push(JSON.stringify(params["exceptionDetails"]))
    if (method === "Log.entryAdded" && read(params, "entry", "level") === "error")
      errors.push(read(params, "entry", "text"))
    if (method === "Runtime.consoleAPICalled" && params["type"] === "error") errors.push(JSON.stringify(params["args"]))
  })
  for (const domain of ["Network", "Runtime", "Log", "Page"]) await protocol.send(`${domain}.enable`, {}, session)
  await protocol.send("Page.navigate", { url }, session)
  const evaluate = async (expression: string) => {
    const options = { expression, returnByValue: true, awaitPromise: true }
    const { result, exceptionDetails } = await protocol.send("Runtime.evaluate", options, session)
    if (exceptionDetails !== undefined) throw new Error(`${expression}: ${JSON.stringify(exceptionDetails)}`)
    return typeof result === "object" && result !== null && "value" in result ? result.value : undefined
  }
  const waitFor = async (expression: string) => {
    const deadline = Date.now() + 30_000
    while ((await evaluate(`Boolean(${expression})`)) !== true) {
      if (Date.now() > deadline) throw new Error(`Not so: ${expression}\n${await evaluate("document.body.innerText")}`)
      await Bun.sleep(50)
    }
  }
  return { requests, errors, evaluate, waitFor }
}

const read = (value: unknown, ...path: readonly string[]): string =>
  String(path.reduce((at, key) => (typeof at === "object" && at !== null ? Reflect.get(at, key) : undefined), value))
