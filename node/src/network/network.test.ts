import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect as connectTcp } from 'node:net'
import { test } from 'node:test'
import { createDeviceKeys, type DeviceKeys, deviceIdOf, MAX_MESSAGE_BYTES } from '@cofolder/protocol'
import { createNetwork } from './libp2p.ts'
import { createMemoryHub } from './memory.ts'
import { type MessageStream, type Network, NetworkError } from './network.ts'

type Make = (device: DeviceKeys) => Promise<Network>

const overLibp2p: Make = (device) => {
  const book = new Map<string, readonly string[]>()
  return createNetwork({
    device,
    listenHost: '127.0.0.1',
    port: 0,
    mdns: false,
    addressBook: {
      get: async (peer) => book.get(peer) ?? [],
      put: async (peer, addresses) => void book.set(peer, addresses),
    },
  })
}

function inMemory(): Make {
  const hub = createMemoryHub()
  return async (device) => hub.network(deviceIdOf(device))
}

const echo = async (stream: MessageStream): Promise<void> => {
  for await (const message of stream.messages) await stream.send(message)
}

async function collect(stream: MessageStream, count: number): Promise<Uint8Array[]> {
  const found: Uint8Array[] = []
  for await (const message of stream.messages) {
    found.push(message)
    if (found.length === count) break
  }
  return found
}

for (const [name, makeMaker] of [
  ['libp2p', () => overLibp2p],
  ['memory', inMemory],
] as const) {
  test(`${name}: messages arrive whole and in order, both ways, large ones too`, async () => {
    const make = makeMaker()
    await using a = await make(createDeviceKeys())
    await using b = await make(createDeviceKeys())
    b.handle('/test/echo', echo)
    await a.connect(b.device, b.addresses())
    await using stream = await a.open(b.device, '/test/echo')
    assert.equal(stream.device, b.device)
    const sizes = [0, 1, 100, 70_000, 5_000_000, 3]
    const sending = (async () => {
      for (const [index, size] of sizes.entries()) await stream.send(new Uint8Array(size).fill(index + 1))
    })()
    const received = await collect(stream, sizes.length)
    await sending
    assert.deepEqual(
      received.map((message) => message.length),
      sizes,
    )
    assert.ok(received.every((message, index) => message.every((byte) => byte === index + 1)))
  })

  test(`${name}: the bound on messages holds`, async () => {
    const make = makeMaker()
    await using a = await make(createDeviceKeys())
    await using b = await make(createDeviceKeys())
    b.handle('/test/echo', echo)
    await a.connect(b.device, b.addresses())
    await using stream = await a.open(b.device, '/test/echo')
    await assert.rejects(stream.send(new Uint8Array(MAX_MESSAGE_BYTES + 1)), NetworkError)
    await stream.send(new Uint8Array([1]))
    assert.equal((await collect(stream, 1)).length, 1)
  })

  test(`${name}: a close from either side ends the messages, and a handler that throws only its own stream`, async () => {
    const make = makeMaker()
    await using a = await make(createDeviceKeys())
    await using b = await make(createDeviceKeys())
    b.handle('/test/echo', echo)
    b.handle('/test/ends', async (stream) => stream.send(new Uint8Array([7])))
    b.handle('/test/throws', async () => {
      throw new Error('on purpose')
    })
    await a.connect(b.device, b.addresses())
    await using kept = await a.open(b.device, '/test/echo')
    const ends = await a.open(b.device, '/test/ends')
    assert.equal((await collect(ends, 2)).length, 1)
    const throws = await a.open(b.device, '/test/throws')
    assert.equal((await collect(throws, 1)).length, 0)
    const mine = await a.open(b.device, '/test/echo')
    await mine.close()
    await assert.rejects(mine.send(new Uint8Array(1)), NetworkError)
    await kept.send(new Uint8Array([1]))
    assert.equal((await collect(kept, 1)).length, 1)
  })

  test(`${name}: unknown protocols and devices are typed errors; connects and disconnects are told`, async () => {
    const make = makeMaker()
    await using a = await make(createDeviceKeys())
    const b = await make(createDeviceKeys())
    const met = new Promise((resolve) => b.onConnect((peer) => resolve(peer.device)))
    const lost = new Promise((resolve) => a.onDisconnect(resolve))
    await Promise.all([a.connect(b.device, b.addresses()), b.connect(a.device, a.addresses())])
    assert.equal(await met, a.device)
    assert.deepEqual(
      a.peers().map(({ device, host }) => [device, host]),
      [[b.device, '127.0.0.1']],
    )
    await assert.rejects(a.open(b.device, '/test/none'), { code: 'refused' })
    await b.close()
    assert.equal(await lost, b.device)
    await assert.rejects(a.open(deviceIdOf(createDeviceKeys()), '/test/echo'), { code: 'unreachable' })
  })
}

test('libp2p: a device is found again by the address that worked before', async () => {
  const [one, two] = [createDeviceKeys(), createDeviceKeys()]
  await using a = await overLibp2p(one)
  await using b = await overLibp2p(two)
  b.handle('/test/echo', echo)
  await a.connect(b.device, b.addresses())
  const lost = new Promise((resolve) => b.onDisconnect(resolve))
  const book = a.peers().length
  assert.equal(book, 1)
  await a.close()
  await lost
})

test('libp2p: garbage on the TCP port disturbs nobody', async () => {
  await using a = await overLibp2p(createDeviceKeys())
  await using b = await overLibp2p(createDeviceKeys())
  b.handle('/test/echo', echo)
  const port = Number(
    /tcp\/(\d+)$/.exec(b.addresses().find((address) => !address.endsWith('/ws')) ?? '')?.[1],
  )
  for (let round = 0; round < 5; round++) {
    const socket = connectTcp(port, '127.0.0.1')
    socket.on('error', () => {})
    await once(socket, 'connect')
    socket.end(Buffer.alloc(1000 * (round + 1), round * 51))
    socket.resume()
  }
  await a.connect(b.device, b.addresses())
  await using stream = await a.open(b.device, '/test/echo')
  await stream.send(new Uint8Array([1]))
  assert.equal((await collect(stream, 1)).length, 1)
})
