import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createDeviceKeys, type DeviceKeys, deviceIdOf, relayPaths } from '@cofolder/protocol'
import { circuitRelayTransport } from '@libp2p/circuit-relay-v2'
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import { identify } from '@libp2p/identify'
import type { Libp2p } from '@libp2p/interface'
import { noise } from '@libp2p/noise'
import { tcp } from '@libp2p/tcp'
import { webSockets } from '@libp2p/websockets'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { ask, createTestShare, publish, type TestShare, temporaryRelay, until } from '../fixture.ts'
import type { Relay } from '../relay.ts'
import { announcedAddresses } from './addresses.ts'

const PROTOCOL = '/cofolder/test/1'
const MIB = 1024 * 1024

interface Device extends AsyncDisposable {
  readonly node: Libp2p
}

/** A device; with `listen` it cannot start without a reservation there. */
async function device(keys: DeviceKeys, listen: string[] = []): Promise<Device> {
  const node = await createLibp2p({
    privateKey: await generateKeyPairFromSeed('Ed25519', keys.seed),
    addresses: { listen },
    transports: [tcp(), webSockets(), circuitRelayTransport()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    services: { identify: identify() },
  })
  return { node, [Symbol.asyncDispose]: async () => node.stop() }
}

/** Shows a token, so that the relay knows the device. */
async function introduce(keys: DeviceKeys, relay: Relay, share: TestShare): Promise<void> {
  const token = share.token(relay, 'read', { device: deviceIdOf(keys) })
  const body = JSON.stringify({ infoHashes: [] })
  const response = await ask(relay, 'POST', relayPaths.torrents(share.id), { token, body })
  assert.equal(response.status, 204)
}

/** Where a device listens to be reached through the relay. */
function circuitOf(relay: Relay, kind: 'tcp' | 'ws'): string {
  const address = relay.libp2p.find((one) => one.includes('/ws/') === (kind === 'ws'))
  return `${address}/p2p-circuit`
}
const reachedAt = ({ node }: Device): string =>
  String(node.getMultiaddrs().find((address) => String(address).includes('p2p-circuit')))

for (const kind of ['tcp', 'ws'] as const) {
  test(`two devices talk through the relay over ${kind}, much more than a mebibyte`, async () => {
    await using relay = await temporaryRelay()
    const share = createTestShare()
    await publish(relay, share)
    const keys = createDeviceKeys()
    await introduce(keys, relay, share)
    await using a = await device(keys, [circuitOf(relay, kind)])
    await using b = await device(createDeviceKeys())
    await until('a can be reached', () => reachedAt(a).includes('p2p-circuit'))
    let received = 0
    await a.node.handle(
      PROTOCOL,
      (stream) => {
        stream.addEventListener('message', ({ data }) => {
          received += data.byteLength
        })
      },
      { runOnLimitedConnection: true },
    )
    const connection = await b.node.dial(multiaddr(reachedAt(a)))
    assert.ok(connection.limits !== undefined, 'it leads over the relay')
    const stream = await connection.newStream(PROTOCOL, { runOnLimitedConnection: true })
    const chunk = new Uint8Array(64 * 1024)
    for (let sent = 0; sent < 16 * MIB; sent += chunk.length) {
      if (!stream.send(chunk))
        await new Promise((resolve) => stream.addEventListener('drain', resolve, { once: true }))
    }
    await until('all arrives', () => received === 16 * MIB)
    await stream.close()
    const metrics = await (await ask(relay, 'GET', '/metrics')).text()
    assert.match(metrics, /cofolder_relay_reservations 1\n/)
  })
}

test('an unknown device, and one that was seen long ago, gets no reservation', async () => {
  let shift = 0
  await using relay = await temporaryRelay({ clock: () => Date.now() + shift })
  const share = createTestShare()
  await publish(relay, share)
  const keys = createDeviceKeys()
  const listen = [circuitOf(relay, 'tcp')]
  await assert.rejects(device(keys, listen))
  await introduce(keys, relay, share)
  shift = 2 * 3_600_000
  await assert.rejects(device(keys, listen))
  shift = 0
  await using a = await device(keys, listen)
  assert.equal(a.node.status, 'started')
})

test('a circuit ends at its limit of bytes', async () => {
  await using relay = await temporaryRelay({ limits: { circuitBytes: MIB } })
  const share = createTestShare()
  await publish(relay, share)
  const keys = createDeviceKeys()
  await introduce(keys, relay, share)
  await using a = await device(keys, [circuitOf(relay, 'tcp')])
  await using b = await device(createDeviceKeys())
  await until('a can be reached', () => reachedAt(a).includes('p2p-circuit'))
  await a.node.handle(PROTOCOL, (stream) => stream.addEventListener('message', () => {}), {
    runOnLimitedConnection: true,
  })
  const connection = await b.node.dial(multiaddr(reachedAt(a)))
  const stream = await connection.newStream(PROTOCOL, { runOnLimitedConnection: true })
  stream.send(new Uint8Array(2 * MIB))
  await until('the connection is gone', () => connection.status !== 'open')
})

test('what is announced', () => {
  const listening = ['/ip4/10.0.0.1/tcp/4001', '/ip4/127.0.0.1/tcp/5/ws']
  assert.deepEqual(announcedAddresses(listening, { httpPort: 80, publicUrl: undefined }), [
    '/ip4/10.0.0.1/tcp/4001',
    '/ip4/10.0.0.1/tcp/80/ws',
  ])
  const announced = (url: string) =>
    announcedAddresses(listening, { httpPort: 80, publicUrl: new URL(url) }).slice(0, 2)
  assert.deepEqual(announced('https://relay.example.org'), [
    '/dns/relay.example.org/tcp/443/tls/ws',
    '/dns/relay.example.org/tcp/4001',
  ])
  assert.deepEqual(announced('http://[::1]:8080/'), ['/ip6/::1/tcp/8080/ws', '/ip6/::1/tcp/4001'])
})
