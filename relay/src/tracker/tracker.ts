/**
 * BitTorrent tracker over HTTP, UDP and WebSocket, for allowed info hashes alone. The library keeps the swarms; this
 * bounds them, and lets nothing through that the library would stumble over.
 */
import { createSocket, type Socket } from 'node:dgram'
import { EventEmitter, once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { isIPv6 } from 'node:net'
import { Server } from 'bittorrent-tracker'
import type { RawData, WebSocket } from 'ws'
import type { RelayContext } from '../context.ts'
import { RelayError } from '../errors.ts'
import type { Sockets } from '../http/sockets.ts'
import { SWEEP_INTERVAL } from '../limits.ts'
import { createRateLimiter } from '../rates.ts'
import type { Torrents } from '../torrents/torrents.ts'
import { readSocketRequest } from './requests.ts'
import { createPacketCheck } from './udp.ts'

/** Where a request comes from. */
interface Remote {
  readonly address: string
  readonly port: number
}

export interface Tracker {
  readonly udpPort: number
  /** Answers GET /announce and /scrape. `url` is path and query. */
  onRequest(url: string, remote: Remote, response: ServerResponse): void
  onSocket(socket: WebSocket, remote: Remote): void
  close(): Promise<void>
}

export interface TrackerOptions {
  readonly context: RelayContext
  readonly sockets: Sockets
  readonly torrents: Torrents
  readonly host: string
  /** The UDP port; `preferred` is taken when it is free. */
  readonly udpPort: { readonly exactly: number } | { readonly preferred: number }
}

export async function startTracker(options: TrackerOptions): Promise<Tracker> {
  const { context, sockets, torrents } = options
  const { limits, metrics, refused } = context
  const server = new Server({
    http: false,
    udp: false,
    ws: false,
    stats: false,
    interval: limits.announceInterval,
    peersCacheLength: limits.peersPerSwarm,
    peersCacheTtl: 2 * limits.announceInterval,
    filter(infoHash, _params, done) {
      admit(infoHash).then(
        () => done(null),
        (error: Error) => done(error),
      )
    },
  })
  // Warnings are what clients did wrong, and were told.
  server.on('warning', () => {})
  server.on('error', (error: Error) => context.log(`tracker: ${error.message}`))
  let swarms = 0
  metrics.gauge('tracker_swarms', 'Torrents with peers', () => Object.keys(server.torrents).length)
  metrics.gauge('tracker_peers', 'Peers of all torrents', () =>
    Object.values(server.torrents).reduce((sum, { peers }) => sum + peers.length, 0),
  )

  async function admit(infoHash: string): Promise<void> {
    const known = infoHash in server.torrents
    if (!(await torrents.isAllowed(infoHash))) {
      refused.add(1, 'torrent')
      throw new RelayError('forbidden', 'this tracker does not know the torrent')
    }
    if (known) return
    if (swarms >= limits.swarms) throw new RelayError('full', 'the tracker is full')
    swarms++
  }

  /** The library keeps a swarm forever once it was there. */
  function forgetEmptySwarms(): void {
    for (const [infoHash, { peers }] of Object.entries(server.torrents)) {
      for (const key of peers.keys) peers.peek(key)
      if (peers.length === 0) delete server.torrents[infoHash]
    }
    swarms = Object.keys(server.torrents).length
  }
  const sweeping = setInterval(forgetEmptySwarms, SWEEP_INTERVAL)
  sweeping.unref()

  const udp = await bindUdp(server, options)

  return {
    udpPort: udp.port,
    onRequest(url, { address, port }, response) {
      response.setHeader('content-type', 'text/plain')
      const connection = { remoteAddress: address, remotePort: port }
      server.onHttpRequest({ url, headers: {}, connection }, response)
    },
    onSocket(socket, remote) {
      sockets.watch(socket)
      server.onWebSocketConnection(createPeer(context, socket, remote))
    },
    async close() {
      clearInterval(sweeping)
      await udp.close()
      server.close()
    },
  }
}

/** What the library sees of a WebSocket: well-formed requests of one peer in a bounded number of swarms. */
function createPeer({ limits, clock, refused }: RelayContext, socket: WebSocket, remote: Remote) {
  const rate = createRateLimiter(limits.trackerMessages, 'messages', clock)
  const swarms = new Set<string>()
  let self: string | undefined
  const peer = Object.assign(new EventEmitter(), {
    upgradeReq: { headers: {}, connection: { remoteAddress: remote.address, remotePort: remote.port } },
    send(message: string, sent: (error?: Error) => void) {
      if (socket.readyState !== socket.OPEN) return
      if (socket.bufferedAmount > limits.trackerMessageBytes) socket.terminate()
      else socket.send(message, sent)
    },
  })

  function check(text: string): string {
    rate.take('')
    const request = readSocketRequest(text)
    if (request.action === 'announce') {
      self ??= request.peer_id
      if (self !== request.peer_id) throw new RelayError('forbidden', 'one peer for each connection')
      swarms.add(request.info_hash)
      if (swarms.size > limits.swarmsPerSocket)
        throw new RelayError('rate-limited', 'too many torrents on one connection')
    }
    return JSON.stringify(request)
  }

  socket.on('message', (data: RawData) => {
    try {
      peer.emit('message', check(data.toString()))
    } catch (error) {
      if (!(error instanceof RelayError)) throw error
      refused.add(1, error.code)
      peer.send(JSON.stringify({ 'failure reason': error.message }), () => {})
    }
  })
  socket.on('close', () => peer.emit('close'))
  return peer
}

async function bindUdp(
  server: Server,
  { context, host, udpPort }: TrackerOptions,
): Promise<{ port: number; close(): Promise<void> }> {
  const check = createPacketCheck(context.clock)
  const rate = createRateLimiter(context.limits.trackerPackets, 'packets', context.clock)

  function listen(socket: Socket): Socket {
    socket.on('error', (error) => context.log(`tracker: ${error.message}`))
    socket.on('message', (packet, from) => {
      try {
        rate.take(from.address)
      } catch {
        context.refused.add(1, 'rate-limited')
        return
      }
      const checked = check(packet, from.address)
      if (checked.type === 'reply') socket.send(checked.packet, from.port, from.address)
      if (checked.type === 'request') server.onUdpRequest(checked.packet, from)
    })
    return socket
  }
  async function bind(type: 'udp4' | 'udp6', address: string, port: number): Promise<Socket> {
    const socket = createSocket({ type, ipv6Only: type === 'udp6' })
    socket.bind(port, address)
    await once(socket, 'listening')
    return listen(socket)
  }

  const wanted = 'exactly' in udpPort ? udpPort.exactly : udpPort.preferred
  const first = (port: number) => bind(isIPv6(host) ? 'udp6' : 'udp4', host, port)
  const main = await first(wanted).catch((error: unknown) => {
    if ('exactly' in udpPort) throw error
    return first(0)
  })
  const { port } = main.address()
  const bound = [main]
  if (isIPv6(host)) server.udp6 = main
  else server.udp4 = main
  // The IPv6 wildcard means everybody, so IPv4 as well.
  if (host === '::') {
    server.udp4 = await bind('udp4', '0.0.0.0', port)
    bound.push(server.udp4)
  }

  return {
    port,
    async close() {
      await Promise.all(bound.map((socket) => new Promise<void>((resolve) => socket.close(() => resolve()))))
    },
  }
}
