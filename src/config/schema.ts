import { type Static, Type } from "@sinclair/typebox"
import { address, bytes, closed, DURATION, duration, file, flag, HOST, port, text, texts } from "./fields.ts"

const tlsClient = closed(
  {
    ca: file("PEM certificates that the server's must be signed by."),
    crt: file("PEM certificate to show to the server."),
    key: file("PEM private key of crt."),
  },
  "TLS towards the provider.",
)

const staticLayer = closed({
  type: Type.Union([Type.Literal("file"), Type.Literal("image"), Type.Literal("dir")], { description: "What ref is." }),
  ref: Type.String({
    minLength: 1,
    expected: "a path or an image reference",
    description: "Path of an archive or a directory, or an image reference.",
  }),
})

const grpcProvider = closed(
  {
    addr: Type.String({ minLength: 1, description: "host:port of a gRPC server." }),
    tls: Type.Optional(tlsClient),
    serverName: text("Name in the server's certificate. Default: the host of addr, or ws-manager."),
  },
  "A gRPC server.",
)
const httpProvider = closed(
  {
    url: Type.String({
      pattern: "^https?://.*\\{id\\}",
      expected: "an http or https URL with {id} in it",
      description: "URL that gives an ImageSpec as JSON; {id} stands for the name.",
    }),
  },
  "An HTTP server.",
)
const specProvider = Type.Union([grpcProvider, httpProvider])

const upstream = closed({
  plainHTTP: Type.Optional(
    Type.Boolean({ description: "Talk to this host without TLS. Default: only to loopback hosts." }),
  ),
  insecureSkipVerify: flag("Accept any certificate of this host."),
  ca: file("PEM certificates to trust for this host, besides the system's."),
  mirrors: Type.Optional(
    Type.Array(Type.String({ pattern: "^https?://", expected: "an http or https URL" }), {
      description: "Asked before the host itself, in this order.",
    }),
  ),
  realms: Type.Optional(
    Type.Array(Type.String({ pattern: HOST, expected: 'a host like "auth.example.com" or "auth.example.com:8443"' }), {
      description:
        "Hosts of token servers outside of this host's domain, which its credentials may be sent to (with TLS only).",
    }),
  ),
  username: text("User for this host."),
  passwordFile: file("File that holds the user's password."),
})

const redis = closed(
  {
    enabled: flag("Share what is known of images through Redis."),
    singleHostAddr: text("host:port of the server."),
    username: text("ACL user. The password comes from the environment: REDIS_PASSWORD."),
    useTLS: flag("Connect with TLS."),
    insecureSkipVerify: flag("Accept any certificate."),
    ca: file("PEM certificates to trust."),
    keyPrefix: text("Put before every key."),
    sentinel: Type.Optional(
      closed(
        { master: text("Name of the master that they watch."), addrs: texts("host:port of each Sentinel.") },
        "Redis Sentinel, in place of one server.",
      ),
    ),
    cluster: Type.Optional(
      closed({ addrs: texts("host:port of some of its nodes.") }, "Redis Cluster, in place of one server."),
    ),
  },
  "What nodes know of images, shared.",
)

const ipfs = closed(
  {
    enabled: flag("Share layers through IPFS."),
    ipfsAddr: text("Multiaddr of Kubo's RPC API, or of the proxy of an IPFS Cluster. $IPFS_HOST is replaced."),
    gatewayAddr: text("URL of Kubo's gateway."),
    profile: text("How content is split into blocks: unixfs-v1-2025."),
    budgetBytes: bytes(0, "Pins are removed, oldest first, above this; 0 is no limit."),
    allowPublicSwarm: flag("Publish layers although the node looks public."),
    cluster: Type.Optional(
      closed(
        {
          url: text("REST API of an IPFS Cluster peer."),
          replicationMin: Type.Optional(Type.Integer({ description: "Peers that have to keep a layer." })),
          replicationMax: Type.Optional(Type.Integer({ description: "Peers that keep a layer at most." })),
          expireIn: text("How long pins last, as IPFS Cluster writes it; empty is for ever."),
        },
        "Pins through an IPFS Cluster.",
      ),
    ),
  },
  "Layers, shared between nodes.",
)

const registry = closed(
  {
    port: port(31_750, "Port of the registry; 0 takes a free one."),
    host: Type.Optional(Type.String({ default: "0.0.0.0", description: "Address to listen on." })),
    prefix: Type.Optional(Type.String({ default: "", description: "Path before /v2/." })),
    store: file(
      "Directory of the disk store. Without it, blobs are kept in a temporary directory until the process ends.",
    ),
    storeMaxSizeBytes: bytes(0, "What the store may hold; 0 is bounded only by storeMinFreeBytes."),
    storeMinFreeBytes: bytes(1_073_741_824, "What the store leaves free on its disk."),
    staticLayer: Type.Optional(
      Type.Array(staticLayer, { description: "Layers that every image gets, in this order." }),
    ),
    remoteSpecProvider: Type.Optional(
      Type.Union([Type.Array(specProvider), specProvider], {
        description: "Where specs of remote/<id> come from; the first answer wins.",
      }),
    ),
    fixedSpecFN: file("File that maps names to ImageSpecs, for fixed/<name>. Read again when it changes."),
    requireAuth: flag("Ask clients for a user and a password; needs auth."),
    auth: Type.Optional(closed({ htpasswd: file("File of users with bcrypt passwords.") }, "Who may pull.")),
    tls: Type.Optional(
      closed(
        {
          ca: text("Accepted and not used, as by the original."),
          crt: file("PEM certificate chain."),
          key: file("PEM private key."),
          clientCA: file("PEM certificates; clients must show a certificate that one of them has signed."),
        },
        "HTTPS; needs crt and key.",
      ),
    ),
    tagTTL: duration("60s", "A resolved tag is reused this long, then asked for again."),
    staleIfError: duration("24h", "A known tag is served this long while its upstream fails."),
    timeouts: Type.Optional(
      closed(
        {
          connect: duration("5s", "Until a connection is open."),
          firstByte: duration("30s", "From a request to the first byte of its answer."),
          progress: duration("30s", "Between two pieces of a body."),
        },
        "How long upstreams may be silent before a request is made again.",
      ),
    ),
    defaultPlatform: Type.Optional(
      Type.String({
        pattern: "^[a-z0-9._-]+/[a-z0-9._-]+(/[a-z0-9._-]+)?$",
        expected: 'a platform like "linux/amd64"',
        description: "Platform for clients that want no index. Default: the host's.",
      }),
    ),
    upstreams: Type.Optional(
      Type.Record(Type.String(), upstream, { description: "Settings by registry host, with port if it has one." }),
    ),
    allowedUpstreams: Type.Optional(
      Type.Array(Type.String(), {
        description: "Patterns of repositories that images may come from, like ghcr.io/acme/*.",
      }),
    ),
    handover: Type.Optional(
      closed(
        { enabled: flag("Not used."), sockets: text("Not used.") },
        "Accepted and not used, as by the original since 2021: a successor shares the port (--share-ports).",
      ),
    ),
    redis: Type.Optional(redis),
    ipfs: Type.Optional(ipfs),
  },
  "The registry.",
)

const search = Type.String({ description: "Text to replace." })
const replacement = Type.String({ description: "Text in its place." })
const path = Type.String({ description: "The file, from the root of the image on." })
const repo = closed({
  prePull: texts(
    "Tags and digests whose files are made ready at the start; one that cannot be read is tried again while the others are served.",
  ),
  workdir: text("Directory of the image that is served as the root."),
  layers: Type.Optional(
    Type.Union([Type.Literal("first"), Type.Literal("all")], {
      default: "first",
      description: "Serve the files of the first layer, or of all together.",
    }),
  ),
  replacements: Type.Optional(
    Type.Array(closed({ path, search, replacement }), { description: "Changes to files of the image." }),
  ),
  inlineStatic: Type.Optional(
    Type.Array(closed({ search, replacement }), {
      description: "Changes to index.html, with what the asking proxy names.",
    }),
  ),
  cors: texts('Origins whose pages may read the files, or "*" for all.'),
})
const blobserve = closed(
  {
    port: port(32_224, "Port of the file server; 0 takes a free one."),
    host: Type.Optional(Type.String({ default: "0.0.0.0", description: "Address to listen on." })),
    timeout: Type.Optional(
      Type.Union(
        [
          Type.String({ pattern: DURATION, expected: 'a duration like "5s"' }),
          Type.Integer({ minimum: 0, expected: "nanoseconds" }),
        ],
        {
          default: "5s",
          description: "How long a request waits for its file; 0 is for ever, a number is nanoseconds.",
        },
      ),
    ),
    repos: Type.Optional(
      Type.Record(Type.String(), repo, {
        description: "Settings by canonical repository, by oci:DIR, or by the name of a composed image.",
      }),
    ),
    allowAnyRepo: flag("Serve repositories of registries that are not listed, too."),
    blobSpace: Type.Optional(
      closed(
        {
          location: file("Directory for it. Without one, it is kept in the registry's store."),
          maxSizeBytes: bytes(
            0,
            "What it may hold; 0 is no limit. Beside a registry it needs a location: registry.storeMaxSizeBytes limits the registry's store.",
          ),
        },
        "Where content of layers is kept.",
      ),
    ),
  },
  "The server of files inside images.",
)

/** The configuration file: names, types, defaults and descriptions; what `config schema` prints and docs are made from. */
export const configSchema = closed(
  {
    $schema: text("Where editors find this schema."),
    dockerAuth: file("Docker's config.json with credentials for upstream registries."),
    pprofAddr: address("Where the debug listener is; it is off without."),
    prometheusAddr: address("Where /metrics is; it is off without."),
    readinessProbeAddr: address("Where /ready and /live are; they are off without."),
    tracing: Type.Optional(
      closed(
        {
          otlpEndpoint: Type.Optional(
            Type.String({
              pattern: "^(?:https?://[^/]+.*)?$",
              expected: "an http or https URL",
              description: "Base URL of an OTLP/HTTP collector, like http://127.0.0.1:4318; spans are posted as JSON.",
            }),
          ),
          sampleRatio: Type.Optional(
            Type.Number({
              minimum: 0,
              maximum: 1,
              expected: "a number from 0 to 1",
              default: 1,
              description:
                "Part of the requests that are recorded, where the client's trace context does not decide it.",
            }),
          ),
        },
        "OpenTelemetry.",
      ),
    ),
    shutdown: Type.Optional(
      closed(
        {
          delay: duration("5s", "From the signal until no new connections are accepted; /ready says no meanwhile."),
          grace: duration("300s", "How long running transfers may take after that."),
        },
        "What happens after SIGTERM or SIGINT.",
      ),
    ),
    registry: Type.Optional(registry),
    blobserve: Type.Optional(blobserve),
  },
  "Configuration of registry-facade",
)

export type ConfigFile = Static<typeof configSchema>
export type RegistrySection = NonNullable<ConfigFile["registry"]>
export type BlobserveSection = NonNullable<ConfigFile["blobserve"]>
export type UpstreamSection = Static<typeof upstream>
export type SpecProviderSection = Static<typeof specProvider>
export type StaticLayerSection = Static<typeof staticLayer>
