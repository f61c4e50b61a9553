/** Networks in memory: the same interface without sockets, with partitions, for tests and the simulation. */
import { type DeviceId, MAX_MESSAGE_BYTES } from '@cofolder/protocol'
import { type MessageStream, type Network, NetworkError, type Peer, type StreamHandler } from './network.ts'

/** Messages one side may be ahead of its reader before `send` waits. */
const HIGH_WATER = 64

/** Joins the networks it makes; each can reach every other that is neither closed nor cut off. */
export interface MemoryHub {
  network(device: DeviceId): Network
  /** Cuts two devices off from each other; open streams end. */
  partition(a: DeviceId, b: DeviceId): void
  /** Takes all partitions away; nobody reconnects by himself. */
  heal(): void
}

interface Node {
  readonly device: DeviceId
  readonly handlers: Map<string, StreamHandler>
  readonly connected: Set<DeviceId>
  readonly onConnect: Set<(peer: Peer) => void>
  readonly onDisconnect: Set<(device: DeviceId) => void>
  readonly streams: Set<{ peer: DeviceId; end(): void }>
}

/** One direction of a stream: a bounded queue with one reader. */
function createPipe(): {
  write(message: Uint8Array): Promise<void>
  read(): AsyncGenerator<Uint8Array>
  end(): void
} {
  const queue: Uint8Array[] = []
  let ended = false
  let wakeReader = (): void => {}
  let wakeWriters: (() => void)[] = []
  return {
    async write(message) {
      if (ended) throw new NetworkError('closed', 'the stream is closed')
      queue.push(message)
      wakeReader()
      while (queue.length > HIGH_WATER && !ended) {
        await new Promise<void>((resolve) => {
          wakeWriters.push(resolve)
        })
      }
    },
    async *read() {
      for (;;) {
        const message = queue.shift()
        if (message !== undefined) {
          for (const wake of wakeWriters) wake()
          wakeWriters = []
          yield message
        } else if (ended) return
        else {
          await new Promise<void>((resolve) => {
            wakeReader = resolve
          })
        }
      }
    },
    end() {
      ended = true
      wakeReader()
      for (const wake of wakeWriters) wake()
    },
  }
}

export function createMemoryHub(): MemoryHub {
  const nodes = new Map<DeviceId, Node>()
  const partitions = new Set<string>()
  const edge = (a: DeviceId, b: DeviceId): string => [a, b].sort().join(' ')
  const peerOf = (device: DeviceId): Peer => ({ device, address: `/memory/${device}`, host: '127.0.0.1' })

  function disconnect(a: Node, b: Node): void {
    for (const stream of [...a.streams].filter(({ peer }) => peer === b.device)) stream.end()
    for (const [one, other] of [
      [a, b],
      [b, a],
    ] as const) {
      if (one.connected.delete(other.device)) for (const listener of one.onDisconnect) listener(other.device)
    }
  }

  function streamPair(a: Node, b: Node): [MessageStream, MessageStream] {
    const there = createPipe()
    const back = createPipe()
    const entries = [
      { node: a, entry: { peer: b.device, end } },
      { node: b, entry: { peer: a.device, end } },
    ]
    function end(): void {
      there.end()
      back.end()
      for (const { node, entry } of entries) node.streams.delete(entry)
    }
    for (const { node, entry } of entries) node.streams.add(entry)
    const side = (device: DeviceId, out: typeof there, into: typeof back): MessageStream => {
      const close = async (): Promise<void> => end()
      return {
        device,
        messages: into.read(),
        async send(message) {
          if (message.length > MAX_MESSAGE_BYTES)
            throw new NetworkError('refused', 'a message larger than allowed')
          await out.write(message.slice())
        },
        close,
        [Symbol.asyncDispose]: close,
      }
    }
    return [side(b.device, there, back), side(a.device, back, there)]
  }

  function reachable(a: Node, device: DeviceId): Node {
    const b = nodes.get(device)
    if (!b || partitions.has(edge(a.device, device))) {
      throw new NetworkError('unreachable', 'the device answers on no address we know')
    }
    return b
  }

  function connect(a: Node, device: DeviceId): Node {
    const b = reachable(a, device)
    if (!a.connected.has(device)) {
      a.connected.add(device)
      b.connected.add(a.device)
      for (const listener of a.onConnect) listener(peerOf(device))
      for (const listener of b.onConnect) listener(peerOf(a.device))
    }
    return b
  }

  return {
    network(device) {
      const node: Node = {
        device,
        handlers: new Map(),
        connected: new Set(),
        onConnect: new Set(),
        onDisconnect: new Set(),
        streams: new Set(),
      }
      nodes.set(device, node)
      const close = async (): Promise<void> => {
        if (nodes.get(device) === node) nodes.delete(device)
        for (const other of nodes.values()) disconnect(node, other)
      }
      return {
        device,
        addresses: () => [`/memory/${device}`],
        peers: () => [...node.connected].map(peerOf),
        async connect(peer) {
          connect(node, peer)
        },
        async open(peer, protocol) {
          const other = connect(node, peer)
          const handler = other.handlers.get(protocol)
          if (!handler) throw new NetworkError('refused', `the device does not speak ${protocol}`)
          const [mine, theirs] = streamPair(node, other)
          // A handler that throws ends its own stream and nothing else.
          handler(theirs).then(theirs.close, theirs.close)
          return mine
        },
        handle(protocol, handler) {
          node.handlers.set(protocol, handler)
          return () => node.handlers.delete(protocol)
        },
        onConnect(listener) {
          node.onConnect.add(listener)
          return () => node.onConnect.delete(listener)
        },
        onDisconnect(listener) {
          node.onDisconnect.add(listener)
          return () => node.onDisconnect.delete(listener)
        },
        useRelays() {},
        close,
        [Symbol.asyncDispose]: close,
      }
    },
    partition(a, b) {
      partitions.add(edge(a, b))
      const [one, other] = [nodes.get(a), nodes.get(b)]
      if (one && other) disconnect(one, other)
    },
    heal() {
      partitions.clear()
    },
  }
}
