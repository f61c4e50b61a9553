/** Networks as content meets them: with paths that lead over a relay, and with bytes changed on the way. */
import { connect as connectSocket, createServer, type Server } from 'node:net'
import type { DeviceId } from '@cofolder/protocol'
import type { MessageStream, Network } from '../../network/network.ts'

/** The same network, whose peers have no direct path. */
export function withoutDirectPaths(network: Network): Network {
  return { ...network, peers: () => network.peers().map(({ device, address }) => ({ device, address })) }
}

/** The same network, on which every message to some protocol's streams passes through `change`. */
export function withChangedMessages(
  network: Network,
  protocol: string,
  change: (message: Uint8Array, from: DeviceId) => Uint8Array,
): Network {
  const changing = (stream: MessageStream): MessageStream => ({
    ...stream,
    send: stream.send,
    close: stream.close,
    [Symbol.asyncDispose]: stream.close,
    messages: (async function* () {
      for await (const message of stream.messages) yield change(message, stream.device)
    })(),
  })
  return {
    ...network,
    async open(device, opened, signal) {
      const stream = await network.open(device, opened, signal)
      return opened === protocol ? changing(stream) : stream
    },
  }
}

export interface Proxy extends AsyncDisposable {
  readonly port: number
}

/** A TCP proxy on 127.0.0.1 that changes what comes back from the target. */
export async function startProxy(target: number, change: (bytes: Buffer) => Buffer): Promise<Proxy> {
  const server: Server = createServer((inbound) => {
    const outbound = connectSocket(target, '127.0.0.1')
    for (const socket of [inbound, outbound]) socket.on('error', () => {})
    inbound.pipe(outbound)
    outbound.on('data', (bytes: Buffer) => void inbound.write(change(bytes)))
    inbound.on('close', () => outbound.destroy())
    outbound.on('close', () => inbound.destroy())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return {
    port: address.port,
    [Symbol.asyncDispose]: () => new Promise((resolve) => server.close(() => resolve())),
  }
}
