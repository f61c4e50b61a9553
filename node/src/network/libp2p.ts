/** The network over libp2p: TCP and WebSocket, noise, yamux, mDNS, circuit relays and hole punching. */
import { type DeviceId, type DeviceKeys, deviceIdOf } from '@cofolder/protocol'
import { circuitRelayTransport } from '@libp2p/circuit-relay-v2'
import { dcutr } from '@libp2p/dcutr'
import { identify } from '@libp2p/identify'
import type { Connection } from '@libp2p/interface'
import { mdns } from '@libp2p/mdns'
import { noise } from '@libp2p/noise'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { webSockets } from '@libp2p/websockets'
import { yamux } from '@libp2p/yamux'
import { type Multiaddr, multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import {
  CONNECT_TIMEOUT_MS,
  CONNECTION_INACTIVITY_MS,
  MAX_CONNECTIONS_PER_HOST_AND_SECOND,
  MAX_PENDING_CONNECTIONS,
  MAX_REMEMBERED_ADDRESSES,
  MAX_STREAMS_PER_PROTOCOL,
  RELAY_DELAY_MS,
} from './limits.ts'
import { messageStream } from './messages.ts'
import { type Network, NetworkError, type Peer, type StreamHandler } from './network.ts'
import { deviceIdOfPeer, peerIdOf, privateKeyOf } from './peer-id.ts'
import { keepReservations, listeners } from './reservations.ts'

/** Where addresses that once worked are remembered, so that two devices meet again without any relay. */
export interface AddressBook {
  get(device: DeviceId): Promise<readonly string[]>
  put(device: DeviceId, addresses: readonly string[]): Promise<void>
}

export interface NetworkOptions {
  readonly device: DeviceKeys
  /** Interface to listen on: `0.0.0.0` for all, `127.0.0.1` for this machine alone. */
  readonly listenHost: string
  /** TCP port; 0 picks a free one. */
  readonly port: number
  readonly addressBook: AddressBook
  /** Announce and look for devices on the local network. */
  readonly mdns: boolean
  readonly onError?: (error: Error) => void
}

const isRelayed = (address: Multiaddr): boolean =>
  address.getComponents().some(({ name }) => name === 'p2p-circuit')

function hostOf(connection: Connection): string | undefined {
  if (isRelayed(connection.remoteAddr)) return undefined
  return connection.remoteAddr.getComponents().find(({ name }) => name === 'ip4' || name === 'ip6')?.value
}

function withoutPeer(address: Multiaddr): string {
  return multiaddr(address.getComponents().filter(({ name }) => name !== 'p2p')).toString()
}

function parseAddresses(texts: readonly string[]): Multiaddr[] {
  return texts.flatMap((text) => {
    try {
      return [multiaddr(text)]
    } catch {
      return [] // An address a peer made up: the others may still lead there.
    }
  })
}

/** Starts listening; the caller closes it. @throws when the port is taken */
export async function createNetwork(options: NetworkOptions): Promise<Network> {
  const device = deviceIdOf(options.device)
  const report = options.onError ?? (() => {})
  const node = await createLibp2p({
    privateKey: await privateKeyOf(options.device.seed),
    addresses: {
      listen: [`/ip4/${options.listenHost}/tcp/${options.port}`, `/ip4/${options.listenHost}/tcp/0/ws`],
    },
    transports: [
      tcp({
        inboundSocketInactivityTimeout: CONNECTION_INACTIVITY_MS,
        outboundSocketInactivityTimeout: CONNECTION_INACTIVITY_MS,
      }),
      webSockets(),
      circuitRelayTransport(),
    ],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    peerDiscovery: options.mdns ? [mdns()] : [],
    connectionManager: {
      dialTimeout: CONNECT_TIMEOUT_MS,
      reconnectRetries: 0,
      maxIncomingPendingConnections: MAX_PENDING_CONNECTIONS,
      inboundConnectionThreshold: MAX_CONNECTIONS_PER_HOST_AND_SECOND,
    },
    // Peers are dialled by what they are to us, on loopback and private addresses as well.
    connectionGater: { denyDialMultiaddr: () => false },
    services: { identify: identify(), ping: ping(), dcutr: dcutr(), listeners },
  })
  const reservations = keepReservations(node, node.services.listeners, report)
  const onPeer = (
    event: CustomEvent<{ id: Parameters<typeof deviceIdOfPeer>[0]; multiaddrs: Multiaddr[] }>,
  ): void => {
    const found = deviceIdOfPeer(event.detail.id)
    if (found && event.detail.multiaddrs.length > 0) {
      remember(found, event.detail.multiaddrs.map(withoutPeer)).catch(report)
    }
  }
  node.addEventListener('peer:discovery', onPeer)

  async function remember(peer: DeviceId, addresses: readonly string[]): Promise<void> {
    const direct = addresses.filter((address) => !address.includes('p2p-circuit'))
    if (direct.length === 0) return
    const known = await options.addressBook.get(peer)
    const merged = [...new Set([...direct, ...known])].slice(0, MAX_REMEMBERED_ADDRESSES)
    if (merged.join() !== known.join()) await options.addressBook.put(peer, merged)
  }

  /** The connections to a device, direct ones first. */
  function connections(peer: DeviceId): Connection[] {
    return node
      .getConnections(peerIdOf(peer))
      .filter((connection) => connection.status === 'open')
      .sort((a, b) => Number(hostOf(a) === undefined) - Number(hostOf(b) === undefined))
  }

  async function dial(peer: DeviceId, given: readonly string[], signal: AbortSignal): Promise<void> {
    const id = peerIdOf(peer)
    const known = await options.addressBook.get(peer)
    const targets = parseAddresses([...new Set([...given, ...known])])
    const to = (address: Multiaddr): Multiaddr => {
      const components = address.getComponents()
      return components.at(-1)?.name === 'p2p' ? address : multiaddr(`${address}/p2p/${id}`)
    }
    const direct = targets.filter((address) => !isRelayed(address)).map(to)
    const relayed = [...targets.filter(isRelayed).map(to), ...reservations.circuitsTo(id)]
    const attempts: Promise<unknown>[] = direct.map((address) => node.dial(address, { signal }))
    if (relayed.length > 0) {
      attempts.push(
        new Promise((resolve) => setTimeout(resolve, direct.length > 0 ? RELAY_DELAY_MS : 0)).then(() => {
          if (connections(peer).length > 0) return
          return Promise.any(relayed.map((address) => node.dial(address, { signal })))
        }),
      )
    }
    try {
      await Promise.any(attempts)
    } catch (error) {
      throw new NetworkError('unreachable', 'the device answers on no address we know', { cause: error })
    }
    const [connection] = connections(peer)
    if (connection && hostOf(connection) !== undefined && connection.direction === 'outbound') {
      await remember(peer, [withoutPeer(connection.remoteAddr)])
    }
  }

  const dialling = new Map<DeviceId, Promise<void>>()
  const close = async (): Promise<void> => {
    node.removeEventListener('peer:discovery', onPeer)
    reservations.close()
    await node.stop()
  }

  const network: Network = {
    device,
    addresses: () => node.getMultiaddrs().map(withoutSelf),
    peers: () =>
      node.getPeers().flatMap((id): Peer[] => {
        const peer = deviceIdOfPeer(id)
        const [connection] = peer === undefined ? [] : connections(peer)
        return peer === undefined || connection === undefined ? [] : [describe(peer, connection)]
      }),
    async connect(peer, addresses = [], signal) {
      if (connections(peer).length > 0) return
      let attempt = dialling.get(peer)
      if (!attempt) {
        const limit = AbortSignal.timeout(CONNECT_TIMEOUT_MS)
        attempt = dial(peer, addresses, signal ? AbortSignal.any([signal, limit]) : limit).finally(() =>
          dialling.delete(peer),
        )
        dialling.set(peer, attempt)
      }
      await attempt
    },
    async open(peer, protocol, signal) {
      await network.connect(peer, [], signal)
      const [connection] = connections(peer)
      if (!connection) throw new NetworkError('unreachable', 'the connection was lost')
      try {
        const stream = await connection.newStream(protocol, {
          runOnLimitedConnection: true,
          maxOutboundStreams: MAX_STREAMS_PER_PROTOCOL,
          ...(signal ? { signal } : {}),
        })
        return messageStream(stream, peer)
      } catch (error) {
        throw new NetworkError('refused', `the device does not speak ${protocol}`, { cause: error })
      }
    },
    handle(protocol, handler: StreamHandler) {
      const registered = node.handle(
        protocol,
        async (stream, connection) => {
          const peer = deviceIdOfPeer(connection.remotePeer)
          if (!peer) {
            stream.abort(new Error('not a device'))
            return
          }
          try {
            await using messages = messageStream(stream, peer)
            await handler(messages)
          } catch (error) {
            const reason = error instanceof Error ? error : new Error(String(error))
            stream.abort(reason)
            report(reason)
          }
        },
        {
          runOnLimitedConnection: true,
          maxInboundStreams: MAX_STREAMS_PER_PROTOCOL,
          maxOutboundStreams: MAX_STREAMS_PER_PROTOCOL,
        },
      )
      registered.catch(report)
      return () => {
        node.unhandle(protocol).catch(report)
      }
    },
    onConnect(listener) {
      const heard = (event: CustomEvent<Connection>): void => {
        const peer = deviceIdOfPeer(event.detail.remotePeer)
        if (peer) listener(describe(peer, event.detail))
      }
      node.addEventListener('connection:open', heard)
      return () => node.removeEventListener('connection:open', heard)
    },
    onDisconnect(listener) {
      const heard = (event: CustomEvent<Parameters<typeof deviceIdOfPeer>[0]>): void => {
        const peer = deviceIdOfPeer(event.detail)
        if (peer) listener(peer)
      }
      node.addEventListener('peer:disconnect', heard)
      return () => node.removeEventListener('peer:disconnect', heard)
    },
    useRelays: (addresses) => reservations.use(parseAddresses(addresses)),
    close,
    [Symbol.asyncDispose]: close,
  }
  return network
}

/** Our own address without the peer id at its end, which the relay's before a circuit must keep. */
function withoutSelf(address: Multiaddr): string {
  const components = address.getComponents()
  return multiaddr(components.at(-1)?.name === 'p2p' ? components.slice(0, -1) : components).toString()
}

function describe(device: DeviceId, connection: Connection): Peer {
  const address = connection.remoteAddr.toString()
  const host = hostOf(connection)
  return host === undefined ? { device, address } : { device, address, host }
}
