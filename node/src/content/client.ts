/** A torrent thread's WebTorrent client, and what is the same for served and for fetched torrents. */
import { once } from 'node:events'
import WebTorrent, { type Torrent, type Wire } from 'webtorrent'
import { MAX_UNSENT, MAX_WIRE_MESSAGE, OPEN_BLOCKS } from './limits.ts'

/** Connections of one client; each torrent has one to each of a few holders. */
const MAX_CONNECTIONS = 1000
/** Peers served at once per torrent: nobody of a share waits for a slot. */
export const UNCHOKED = 1000

export interface Client {
  readonly torrents: WebTorrent
  readonly port: number
}

export async function startClient(host: string, onError: (error: Error) => void): Promise<Client> {
  const torrents = new WebTorrent({
    dht: false,
    lsd: false,
    utp: false,
    utPex: false,
    natUpnp: false,
    natPmp: false,
    webSeeds: false,
    tracker: false,
    // Obfuscation (RC4 in JavaScript) would cost more than everything else; the payload is ciphertext anyway.
    secure: 0,
    maxConns: MAX_CONNECTIONS,
    torrentPort: { port: 0, host },
  })
  const failed = once(torrents, 'error').then(([error]: unknown[]) => {
    throw error
  })
  await Promise.race([once(torrents, 'listening'), failed])
  failed.catch(() => {})
  torrents.on('error', onError)
  const server = torrents._connPool?.tcpServer
  if (server) {
    server.maxConnections = MAX_CONNECTIONS
    server.on('connection', (socket) => socket.setNoDelay(true))
  }
  return { torrents, port: torrents.torrentPort }
}

/** Bounds what one connection can make us hold: incomplete messages, and answers it does not read. */
export function guardWires(torrent: Torrent): void {
  torrent.on('wire', (wire: Wire) => {
    wire.extendedHandshake.reqq = OPEN_BLOCKS
    wire.on('request', () => {
      if (wire._readableState.buffered > MAX_UNSENT) wire.destroy()
    })
  })
  torrent.on('download', () => {
    for (const wire of torrent.wires) if (wire._bufferSize > 2 * MAX_WIRE_MESSAGE) wire.destroy()
  })
}

export const endTorrent = (torrent: Torrent): Promise<void> =>
  new Promise((resolve) => {
    if (torrent.destroyed) resolve()
    else torrent.destroy({}, () => resolve())
  })
