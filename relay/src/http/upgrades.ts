/** WebSocket upgrades: which path leads where, and who is let in. Refusals are plain HTTP answers. */
import { type IncomingMessage, STATUS_CODES } from 'node:http'
import type { Duplex } from 'node:stream'
import {
  parse,
  relayPaths,
  ShareIdSchema,
  SUBPROTOCOL,
  TOKEN_SUBPROTOCOL_PREFIX,
  UserIdSchema,
} from '@cofolder/protocol'
import { type WebSocket, WebSocketServer } from 'ws'
import type { Circuit } from '../circuit/circuit.ts'
import type { RelayContext } from '../context.ts'
import type { Documents } from '../documents/documents.ts'
import { asRelayError, RelayError } from '../errors.ts'
import type { Mailboxes } from '../messages/mailbox.ts'
import { createRateLimiter } from '../rates.ts'
import type { Rights } from '../rights/rights.ts'
import type { Tracker } from '../tracker/tracker.ts'
import { addressOf, limitKey } from './address.ts'
import type { Sockets } from './sockets.ts'

export const TRACKER_SOCKET_PATH = '/tracker'
/** A mailbox's owner has nothing to say but hello. */
const MAILBOX_MESSAGE_BYTES = 4096

export interface UpgradeParts {
  readonly context: RelayContext
  readonly sockets: Sockets
  readonly rights: Rights
  readonly documents: Documents
  readonly mailboxes: Mailboxes
  readonly tracker: Tracker
  readonly circuit: Circuit
  readonly trustProxy: boolean
}

export type UpgradeHandler = (request: IncomingMessage, socket: Duplex, head: Buffer) => void

function tokenOf(request: IncomingMessage): string | undefined {
  const offered = (request.headers['sec-websocket-protocol'] ?? '').split(',').map((name) => name.trim())
  const token = offered.find((name) => name.startsWith(TOKEN_SUBPROTOCOL_PREFIX))
  if (token !== undefined) return token.slice(TOKEN_SUBPROTOCOL_PREFIX.length)
  return /^Bearer (\S+)$/i.exec(request.headers.authorization ?? '')?.[1]
}

function refuse(socket: Duplex, error: RelayError): void {
  const body = JSON.stringify({ error: { code: error.code, message: error.message } })
  const retry = error.retryAfter === undefined ? '' : `Retry-After: ${error.retryAfter}\r\n`
  socket.end(
    `HTTP/1.1 ${error.status} ${STATUS_CODES[error.status] ?? ''}\r\nContent-Type: application/json\r\n` +
      `Content-Length: ${Buffer.byteLength(body)}\r\n${retry}Connection: close\r\n\r\n${body}`,
  )
}

function pathOf(request: IncomingMessage): string {
  try {
    return new URL(request.url ?? '', 'http://relay').pathname
  } catch (cause) {
    throw new RelayError('malformed', 'not a path', { cause })
  }
}

/** What stands below a base path: one segment. */
function below(path: string, base: string): string | undefined {
  const rest = path.startsWith(`${base}/`) ? path.slice(base.length + 1) : ''
  return rest !== '' && !rest.includes('/') ? rest : undefined
}

const MAILBOXES = '/v1/mailbox'

export function createUpgradeHandler(parts: UpgradeParts): UpgradeHandler {
  const { context, sockets, rights, documents, mailboxes, tracker, circuit, trustProxy } = parts
  const { limits } = context
  const requests = createRateLimiter(limits.requests, 'connections', context.clock)
  const webSockets = (maxPayload: number): WebSocketServer =>
    new WebSocketServer({
      noServer: true,
      clientTracking: false,
      perMessageDeflate: false,
      maxPayload,
      handleProtocols: (offered) => (offered.has(SUBPROTOCOL) ? SUBPROTOCOL : false),
    })
  const forDocuments = webSockets(limits.messageBytes)
  const forMailboxes = webSockets(MAILBOX_MESSAGE_BYTES)
  const forTracker = webSockets(limits.trackerMessageBytes)

  async function handle(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const address = addressOf(request, trustProxy)
    requests.take(limitKey(address))
    const path = pathOf(request)
    const open = (server: WebSocketServer, use: (webSocket: WebSocket) => void): void =>
      server.handleUpgrade(request, socket, head, (webSocket) => {
        sockets.meter(webSocket, request.socket)
        use(webSocket)
      })

    const document = below(path, relayPaths.documents)
    if (document !== undefined) {
      const id = parse(ShareIdSchema, document)
      const admission = await rights.admit(tokenOf(request), id, 'read')
      return open(forDocuments, (webSocket) => documents.connect(webSocket, id, admission))
    }
    const mailbox = below(path, MAILBOXES)
    if (mailbox !== undefined) {
      const user = parse(UserIdSchema, mailbox)
      const device = rights.admitToMailbox(tokenOf(request), user)
      return open(forMailboxes, (webSocket) => mailboxes.push(webSocket, user, device))
    }
    if (path === TRACKER_SOCKET_PATH) {
      const remote = { address, port: request.socket.remotePort ?? 0 }
      return open(forTracker, (webSocket) => tracker.onSocket(webSocket, remote))
    }
    if (path === '/') return circuit.upgrade(request, socket, head)
    throw new RelayError('not-found', 'no WebSocket here')
  }

  return (request, socket, head) => {
    socket.on('error', () => socket.destroy())
    handle(request, socket, head).catch((thrown: unknown) => {
      const error = asRelayError(thrown, context.log)
      context.refused.add(1, error.code)
      refuse(socket, error)
    })
  }
}
