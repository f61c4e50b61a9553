/** A device in a process of its own, over libp2p, driven by messages of its parent (see `processes.ts`). */
import { createDeviceKeys, type DeviceId } from '@cofolder/protocol'
import { createNetwork } from '../../network/libp2p.ts'
import type { ChildCall, ChildReply } from './calls.ts'
import { createPeer, SHARE } from './peer.ts'

const known = new Map<DeviceId, readonly string[]>()
const network = await createNetwork({
  device: createDeviceKeys(),
  listenHost: '127.0.0.1',
  port: 0,
  mdns: false,
  addressBook: {
    get: async (device) => known.get(device) ?? [],
    put: async (device, addresses) => void known.set(device, addresses),
  },
})
const peer = createPeer(network)
const reply = (message: ChildReply): void => void process.send?.(message)

async function answer(call: ChildCall): Promise<void> {
  if (call.do === 'add') reply({ contents: await peer.add(...call.paths) })
  else if (call.do === 'connect') {
    await network.connect(call.device, call.addresses)
    reply({})
  } else if (call.do === 'progress') {
    reply({
      progress: peer.content.progress(SHARE),
      stats: peer.content.stats(),
      peakMemory: process.resourceUsage().maxRSS * 1024,
    })
  } else if (call.do === 'fetch') {
    await peer.content.fetch(
      { share: SHARE, content: call.content, to: call.to },
      { signal: AbortSignal.timeout(60_000) },
    )
    reply({ fetched: call.to })
  } else {
    await peer[Symbol.asyncDispose]()
    await network.close()
    process.disconnect()
  }
}

process.on('message', (call: ChildCall) => {
  answer(call).catch((error: unknown) =>
    reply({ failure: error instanceof Error ? (error.stack ?? error.message) : String(error) }),
  )
})
reply({ device: network.device, addresses: network.addresses() })
