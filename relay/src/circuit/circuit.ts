/**
 * The libp2p side: a circuit relay (TCP and WebSocket) for devices that cannot reach each other directly. Only devices
 * that showed a valid token lately can be reached through it. Its identity is the relay's own key.
 */

import type { IncomingMessage } from 'node:http'
import { connect } from 'node:net'
import type { Duplex } from 'node:stream'
import { type DeviceId, deviceIdOfKey } from '@cofolder/protocol'
import { type CircuitRelayService, circuitRelayServer } from '@libp2p/circuit-relay-v2'
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import { identify } from '@libp2p/identify'
import type { Listener, PeerId } from '@libp2p/interface'
import { noise } from '@libp2p/noise'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { webSockets } from '@libp2p/websockets'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import type { RelayContext } from '../context.ts'
import type { RecentDevices } from '../rights/devices.ts'
import { announcedAddresses, listenAddress, portOf } from './addresses.ts'

/** Handshakes under way at once; more wait their turn. */
const MAX_PENDING = 256

export interface Circuit {
  readonly peerId: string
  /** Multiaddrs with the peer id. */
  readonly addresses: readonly string[]
  /** Hands over an upgrade request for a libp2p WebSocket that came to the HTTP port. */
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void
  close(): Promise<void>
}

export interface CircuitOptions {
  readonly context: RelayContext
  readonly devices: RecentDevices
  /** Ed25519 seed of the relay. */
  readonly seed: Uint8Array
  readonly host: string
  /** TCP port of libp2p, 0 for any. */
  readonly port: number
  /** The relay's HTTP port, which also takes libp2p WebSockets. */
  readonly httpPort: number
  readonly publicUrl: URL | undefined
}

/** A peer's Ed25519 key; other kinds of keys are no device of ours. */
function deviceOf(peer: PeerId): DeviceId | undefined {
  return peer.type === 'Ed25519' ? deviceIdOfKey(peer.publicKey.raw) : undefined
}

export async function startCircuit(options: CircuitOptions): Promise<Circuit> {
  const { context, devices } = options
  const { limits, metrics, refused } = context
  const privateKey = await generateKeyPairFromSeed('Ed25519', options.seed)
  const peerId = peerIdFromPrivateKey(privateKey).toString()
  const listeners: Listener[] = []
  const addresses = (): string[] =>
    announcedAddresses(
      listeners.flatMap((listener) => listener.getAddrs().map(String)),
      options,
    ).map((address) => `${address}/p2p/${peerId}`)

  const node = await createLibp2p({
    privateKey,
    start: false,
    addresses: {
      // WebSockets arrive at the HTTP port and are handed on to a listener that only this machine sees.
      listen: [listenAddress(options.host, options.port), '/ip4/127.0.0.1/tcp/0/ws'],
      announceFilter: () => addresses().map((address) => multiaddr(address)),
    },
    transports: [tcp({ maxConnections: limits.peers }), webSockets()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionManager: {
      maxConnections: limits.peers,
      maxIncomingPendingConnections: MAX_PENDING,
      inboundConnectionThreshold: limits.peersPerSecond,
    },
    connectionMonitor: { pingInterval: limits.heartbeat },
    connectionGater: {
      // A relay waits to be called; nobody can make it call others.
      denyDialPeer: () => true,
      denyDialMultiaddr: () => true,
      denyInboundRelayReservation(peer) {
        const device = deviceOf(peer)
        const denied = device === undefined || !devices.isRecent(device)
        if (denied) refused.add(1, 'reservation')
        return denied
      },
    },
    services: {
      identify: identify(),
      ping: ping(),
      circuit: circuitRelayServer({
        maxInboundHopStreams: limits.circuitsPerDevice,
        maxOutboundStopStreams: limits.circuitsPerDevice,
        reservations: {
          maxReservations: limits.reservations,
          reservationTtl: limits.reservationAge,
          defaultDurationLimit: limits.circuitAge,
          defaultDataLimit: BigInt(limits.circuitBytes),
        },
      }),
    },
  })
  node.addEventListener('transport:listening', ({ detail }) => listeners.push(detail))
  try {
    await node.start()
  } catch (error) {
    await node.stop()
    throw error
  }
  const circuit: CircuitRelayService = node.services.circuit
  metrics.gauge('peers', 'libp2p connections', () => node.getConnections().length)
  metrics.gauge(
    'reservations',
    'Devices that can be reached through the relay',
    () => circuit.reservations.size,
  )

  const inside = listeners
    .flatMap((listener) => listener.getAddrs().map(String))
    .find((address) => address.endsWith('/ws'))
  const socketPort = portOf(inside ?? '')

  return {
    peerId,
    get addresses() {
      return addresses()
    },
    upgrade(request, socket, head) {
      const inner = connect(socketPort, '127.0.0.1')
      const end = (): void => {
        inner.destroy()
        socket.destroy()
      }
      for (const either of [inner, socket]) either.on('error', end).on('close', end)
      inner.write(`${request.method} / HTTP/1.1\r\n`)
      for (let i = 0; i < request.rawHeaders.length; i += 2)
        inner.write(`${request.rawHeaders[i]}: ${request.rawHeaders[i + 1]}\r\n`)
      inner.write('\r\n')
      inner.write(head)
      inner.pipe(socket).pipe(inner)
    },
    close: async () => node.stop(),
  }
}
