/** BitTorrent wires over streams, between devices without a direct TCP path. */
import { MessageChannel, type MessagePort } from 'node:worker_threads'
import type { DeviceId, ShareId } from '@cofolder/protocol'
import type { MessageStream, Network } from '../network/network.ts'
import { WIRE_PROTOCOL } from './limits.ts'
import { createPump } from './pump.ts'
import { encodeMessage, parseHello } from './wire.ts'

/** Carries bytes both ways until either side ends. The messages must not be read by anybody else. */
async function carry(
  stream: MessageStream,
  messages: AsyncIterator<Uint8Array>,
  port: MessagePort,
): Promise<void> {
  const pump = createPump(port, {
    receive: (bytes) => stream.send(bytes),
    onClose: () => void stream.close(),
  })
  try {
    for (let next = await messages.next(); !next.done; next = await messages.next())
      await pump.send(next.value)
  } finally {
    pump.close()
    await stream.close()
  }
}

/** Opens a wire to a holder; the port goes to the torrent's thread. */
export async function openWire(
  network: Network,
  holder: DeviceId,
  share: ShareId,
  infoHash: Uint8Array<ArrayBuffer>,
): Promise<MessagePort> {
  const stream = await network.open(holder, WIRE_PROTOCOL)
  await stream.send(encodeMessage({ share, infoHash }))
  const { port1, port2 } = new MessageChannel()
  carry(stream, stream.messages[Symbol.asyncIterator](), port2).catch(() => {
    // The connection's end reaches the torrent, which tells who was lost.
  })
  return port1
}

export interface WireHost {
  mayServe(share: ShareId, device: DeviceId): boolean
  attach(infoHash: string, stream: MessagePort, id: string): Promise<boolean>
}

/** Answers wires for torrents that are served now. */
export function answerWires(network: Network, host: WireHost): () => void {
  return network.handle(WIRE_PROTOCOL, async (stream) => {
    const messages = stream.messages[Symbol.asyncIterator]()
    const first = await messages.next()
    if (first.done) return
    const { share, infoHash } = parseHello(stream.device, first.value)
    if (!host.mayServe(share, stream.device)) return
    const { port1, port2 } = new MessageChannel()
    const carried = carry(stream, messages, port2)
    const isServed = await host.attach(Buffer.from(infoHash).toString('hex'), port1, stream.device)
    if (!isServed) await stream.close()
    await carried
  })
}
