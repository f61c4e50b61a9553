/** Puts the relay together: one process, one HTTP port, a UDP port for the tracker, a TCP port for libp2p. */
import { join } from 'node:path'
import { type DeviceId, deviceIdOf, type RelayInfo } from '@cofolder/protocol'
import { getRequestListener } from '@hono/node-server'
import { startCircuit } from './circuit/circuit.ts'
import type { RelayContext } from './context.ts'
import { createDocuments } from './documents/documents.ts'
import { createApp } from './http/app.ts'
import { createMetrics } from './http/metrics.ts'
import { createRequestHandler } from './http/requests.ts'
import { listen } from './http/server.ts'
import { createSockets } from './http/sockets.ts'
import { createUpgradeHandler } from './http/upgrades.ts'
import { loadKey } from './key.ts'
import { DEFAULT_LIMITS, type RelayLimits } from './limits.ts'
import { createLinks } from './links/links.ts'
import { createInboxes } from './messages/inbox.ts'
import { createMailboxes } from './messages/mailbox.ts'
import { createRights } from './rights/rights.ts'
import { openLevelStorage } from './storage/level.ts'
import type { RelayStorage } from './storage/storage.ts'
import { createTorrents } from './torrents/torrents.ts'
import { startTracker } from './tracker/tracker.ts'
import { startUpkeep } from './upkeep.ts'
import { relayUrls } from './urls.ts'

export interface RelayOptions {
  /** Where to listen; '127.0.0.1' when not given. */
  readonly host?: string
  /** HTTP port; any free one when 0 or not given. */
  readonly port?: number
  /** UDP port of the tracker; the number of the HTTP port, if free, when not given. */
  readonly udpPort?: number
  /** TCP port of libp2p; any free one when not given. */
  readonly libp2pPort?: number
  /** Where key and database rest. */
  readonly dataDir: string
  /** Instead of a database in `dataDir`: one that several relays share. Whoever opened it closes it. */
  readonly storage?: RelayStorage
  /** What clients use when it differs from host and port: behind a proxy that ends TLS. */
  readonly publicUrl?: string
  /** Take clients' addresses from X-Forwarded-For. Only behind a proxy that sets it. */
  readonly trustProxy?: boolean
  /** The built page for share links. */
  readonly pageDir?: string
  readonly limits?: Partial<RelayLimits>
  /** For the operator; never holds keys, tokens, or bytes of users. */
  readonly log?: (line: string) => void
  /** Milliseconds since the epoch. */
  readonly clock?: () => number
}

export interface Relay extends AsyncDisposable {
  readonly url: string
  /** The relay's Ed25519 public key: what tokens name as their audience. */
  readonly id: DeviceId
  readonly tracker: { readonly http: string; readonly udp: string; readonly ws: string }
  /** Multiaddrs with peer id. */
  readonly libp2p: readonly string[]
  close(): Promise<void>
}

/** Limits that clients may want to keep to. */
const TOLD_LIMITS = [
  'messageBytes',
  'documentBytes',
  'inboxDepth',
  'mailboxDepth',
  'torrentAge',
  'announceInterval',
  'recentDevice',
  'circuitBytes',
  'circuitAge',
] as const

/** Starts a relay. @throws Error when a port or the database is in use; nothing is left behind then. */
export async function startRelay(options: RelayOptions): Promise<Relay> {
  const { host = '127.0.0.1', port = 0, libp2pPort = 0, trustProxy = false, clock = Date.now } = options
  const log = options.log ?? (() => {})
  const limits: RelayLimits = { ...DEFAULT_LIMITS, ...options.limits }
  const publicUrl = options.publicUrl === undefined ? undefined : new URL(options.publicUrl)
  await using stack = new AsyncDisposableStack()

  const seed = await loadKey(options.dataDir)
  const storage =
    options.storage ?? stack.use(await openLevelStorage(join(options.dataDir, 'database'), clock))
  const metrics = createMetrics()
  const refused = metrics.counter('refused_total', 'What was refused, by reason', 'reason')
  const upkeep = await startUpkeep({ storage, limits, metrics, log })
  stack.defer(() => upkeep.close())
  const { hasRoom } = upkeep
  const id = deviceIdOf({ seed })
  const context: RelayContext = { id, storage, limits, clock, metrics, refused, log, hasRoom }

  const onRefused = (reason: string): void => refused.add(1, reason)
  const server = await listen({ host, port, limits, trustProxy, onRefused, log })
  stack.defer(() => server.close())

  const sockets = createSockets(context)
  const rights = createRights(context)
  const mailboxes = createMailboxes(context, sockets, rights.devices)
  const inboxes = createInboxes(context)
  const links = createLinks(context)
  const torrents = createTorrents(context)
  const documents = createDocuments(context, { sockets, rights, inboxes })
  stack.defer(() => documents.close())
  stack.defer(() => sockets.close())

  const { udpPort } = options
  const udp = udpPort === undefined ? { preferred: server.port } : { exactly: udpPort }
  const tracker = await startTracker({ context, sockets, torrents, host, udpPort: udp })
  stack.defer(() => tracker.close())
  const { devices } = rights
  const httpPort = server.port
  const circuit = await startCircuit({ context, devices, seed, host, port: libp2pPort, httpPort, publicUrl })
  stack.defer(() => circuit.close())

  const urls = relayUrls({ host, port: server.port, udpPort: tracker.udpPort, publicUrl })
  const info = (): RelayInfo => ({
    id,
    peerId: circuit.peerId,
    libp2p: [...circuit.addresses],
    tracker: urls.tracker,
    limits: Object.fromEntries(TOLD_LIMITS.map((name) => [name, limits[name]])),
  })
  metrics.gauge('connections', 'TCP connections to the HTTP port', () => server.connections)
  metrics.gauge('sockets', 'WebSockets', () => sockets.count)
  metrics.gauge('live_documents', 'Documents somebody is connected to', () => documents.live)

  const { pageDir } = options
  const app = createApp({ context, rights, mailboxes, inboxes, links, torrents, info, trustProxy, pageDir })
  const listener = getRequestListener(app.fetch, { overrideGlobalObjects: false })
  server.serve(
    createRequestHandler({ context, tracker, trustProxy, otherwise: listener }),
    createUpgradeHandler({ context, sockets, rights, documents, mailboxes, tracker, circuit, trustProxy }),
  )
  // The first thing to happen when it closes.
  stack.defer(() => void server.stop())

  const owned = stack.move()
  let closing: Promise<void> | undefined
  const close = (): Promise<void> => {
    closing ??= owned.disposeAsync()
    return closing
  }
  return {
    ...urls,
    id,
    get libp2p() {
      return circuit.addresses
    },
    close,
    [Symbol.asyncDispose]: close,
  }
}
