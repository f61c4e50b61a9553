import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { connect as connectSocket } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import type { FileContent } from '@cofolder/protocol'
import { decode, encode } from 'cborg'
import { createMemoryHub, type MemoryHub } from '../network/memory.ts'
import type { Network } from '../network/network.ts'
import { CONTENT_PROTOCOL, WIRE_PROTOCOL } from './limits.ts'
import { startProxy, withChangedMessages } from './testing/networks.ts'
import { createPeer, newDevice, noise, SHARE, type TestPeer, until } from './testing/peer.ts'
import { parseAnswer } from './wire.ts'

const MiB = 1024 * 1024
const MOUNT = '/bin/mount'
const UNMOUNT = '/bin/umount'

function fetch(peer: TestPeer, content: FileContent, to: string): Promise<void> {
  return peer.content.fetch({ share: SHARE, content, to }, { signal: AbortSignal.timeout(30_000) })
}

async function networkOf(hub: MemoryHub, ...others: Network[]): Promise<Network> {
  const network = hub.network(newDevice())
  for (const other of others) await network.connect(other.device)
  return network
}

async function write(
  peer: TestPeer,
  name: string,
  bytes: Uint8Array,
): Promise<{ path: string; content: FileContent }> {
  const path = join(peer.dir, name)
  writeFileSync(path, bytes)
  const [content] = await peer.add(path)
  assert.ok(content)
  return { path, content }
}

/** Opens a socket, sends, and waits until the other side hangs up. */
function sendRaw(port: number, ...parts: Uint8Array[]): Promise<void> {
  return new Promise((resolve) => {
    const socket = connectSocket(port, '127.0.0.1', () => {
      for (const part of parts) socket.write(part)
    })
    socket.on('error', () => {})
    socket.on('data', () => {})
    socket.on('close', () => resolve())
  })
}

test('a holder that sends wrong pieces is dropped, the content comes from another', async () => {
  await using stack = new AsyncDisposableStack()
  const hub = createMemoryHub()
  const [aliceNet, malloryNet] = [hub.network(newDevice()), hub.network(newDevice())]
  const alice = stack.use(createPeer(aliceNet))
  const mallory = stack.use(createPeer(malloryNet))
  const bytes = noise(20 * MiB)
  const { content } = await write(alice, 'file', bytes)
  await write(mallory, 'file', bytes)
  // Bob reaches mallory's torrents only through a proxy that flips a bit now and then.
  let flips = 0
  const proxies = new Map<number, Promise<{ port: number }>>()
  const proxied = (port: number): Promise<{ port: number }> => {
    const known = proxies.get(port)
    if (known) return known
    const proxy = startProxy(port, (chunk) => {
      if (chunk.length > 20_000) {
        flips++
        chunk[19_999] = (chunk[19_999] ?? 0) ^ 1
      }
      return chunk
    }).then((started) => stack.use(started))
    proxies.set(port, proxy)
    return proxy
  }
  const bobNet = await networkOf(hub, aliceNet, malloryNet)
  const ports = new Map<number, number>()
  const watched = withChangedMessages(bobNet, CONTENT_PROTOCOL, (message, from) => {
    if (from !== malloryNet.device) return message
    const answer = parseAnswer(from, message)
    if (answer.type !== 'segment' && answer.type !== 'pack') return message
    return encode({ ...answer, port: ports.get(answer.port) ?? answer.port })
  })
  // Mallory's port is known once she answered.
  const probe = await bobNet.open(malloryNet.device, CONTENT_PROTOCOL)
  const [segment] = content.segments
  assert.ok(segment)
  await probe.send(encode({ type: 'segment', id: 1, share: SHARE, ...segment }))
  for await (const message of probe.messages) {
    const answer = parseAnswer(malloryNet.device, message)
    assert.equal(answer.type, 'segment')
    if (answer.type === 'segment') ports.set(answer.port, (await proxied(answer.port)).port)
    break
  }
  await probe.close()
  assert.equal(ports.size, 1)

  // Mallory alone at first, then alice; then both from the start.
  for (const first of [[malloryNet.device], [malloryNet.device, aliceNet.device]]) {
    let present = first
    const bob = stack.use(createPeer(watched, { holders: () => present }))
    const to = join(bob.dir, 'to')
    const fetched = fetch(bob, content, to)
    if (present.length === 1) {
      await until(() => flips > 0)
      present = [malloryNet.device, aliceNet.device]
      bob.content.wake(SHARE)
    }
    await fetched
    assert.ok(readFileSync(to).equals(bytes))
    await bob.content.close()
  }
})

test('a holder of other content under the same hash is dropped', async () => {
  await using stack = new AsyncDisposableStack()
  const hub = createMemoryHub()
  const [aliceNet, malloryNet] = [hub.network(newDevice()), hub.network(newDevice())]
  const alice = stack.use(createPeer(aliceNet))
  const mallory = stack.use(createPeer(malloryNet))
  const sizes = [100, 400_000, 500_000, 2 * MiB]
  const files = await Promise.all(
    sizes.map(async (size) => {
      const bytes = noise(size)
      const { content } = await write(alice, `${size}`, bytes)
      const lie = join(mallory.dir, `${size}`)
      writeFileSync(lie, noise(size))
      await mallory.know(lie, content)
      return { size, bytes, content }
    }),
  )
  const bob = stack.use(
    createPeer(await networkOf(hub, aliceNet, malloryNet), {
      holders: () => [malloryNet.device, aliceNet.device],
    }),
  )
  await Promise.all(files.map(({ size, content }) => fetch(bob, content, join(bob.dir, `${size}`))))
  for (const { size, bytes } of files) assert.ok(readFileSync(join(bob.dir, `${size}`)).equals(bytes))
})

test('garbage on the ports and in the protocols changes nothing', async () => {
  await using stack = new AsyncDisposableStack()
  const hub = createMemoryHub()
  const aliceNet = hub.network(newDevice())
  const alice = stack.use(createPeer(aliceNet))
  const bytes = noise(3 * MiB)
  const { content } = await write(alice, 'file', bytes)
  const eve = await networkOf(hub, aliceNet)
  const [segment] = content.segments
  assert.ok(segment)

  const bad = [
    randomBytes(100),
    new Uint8Array(),
    new Uint8Array(5 * MiB),
    encode({ type: 'segment', id: 1, share: SHARE, ...segment, size: -1 }),
    encode({ type: 'segment', id: 1, share: '../..', ...segment }),
    encode({ type: 'files', id: 1, share: SHARE, files: [] }),
    encode({
      type: 'files',
      id: 1,
      share: SHARE,
      files: Array.from({ length: 5000 }, () => ({ sha256: segment.sha256, size: 1 })),
    }),
    encode({
      type: 'files',
      id: 1,
      share: SHARE,
      files: Array.from({ length: 20 }, () => ({ sha256: segment.sha256, size: MiB })),
    }),
    encode({ type: 'unknown', id: 1 }),
  ]
  for (const message of bad) {
    for (const protocol of [CONTENT_PROTOCOL, WIRE_PROTOCOL]) {
      const stream = await eve.open(aliceNet.device, protocol)
      await stream.send(message)
      // The holder hangs up without an answer.
      for await (const answer of stream.messages) assert.fail(`answered ${decode(answer)}`)
    }
  }

  const stream = await eve.open(aliceNet.device, CONTENT_PROTOCOL)
  await stream.send(encode({ type: 'segment', id: 7, share: SHARE, ...segment }))
  let port = 0
  for await (const message of stream.messages) {
    const answer = parseAnswer(aliceNet.device, message)
    assert.ok(answer.type === 'segment' && answer.id === 7)
    port = answer.port
    break
  }
  const handshake = Buffer.concat([
    Buffer.from('\x13BitTorrent protocol'),
    Buffer.alloc(8),
    Buffer.from(segment.infoHash),
    Buffer.from('-XX0000-abcdefghijkl'),
  ])
  const stranger = Buffer.concat([handshake.subarray(0, 28), randomBytes(20), handshake.subarray(48)])
  await sendRaw(port, randomBytes(200))
  await sendRaw(port, stranger)
  // A message of nearly 2 GiB, of which the first megabytes come.
  await sendRaw(port, handshake, Buffer.from('7fffffff', 'hex'), randomBytes(4 * MiB))

  const bob = stack.use(createPeer(await networkOf(hub, aliceNet)))
  await fetch(bob, content, join(bob.dir, 'to'))
  assert.ok(readFileSync(join(bob.dir, 'to')).equals(bytes))
})

test('answers that are garbage do not harm who asked', async () => {
  await using stack = new AsyncDisposableStack()
  const hub = createMemoryHub()
  const [aliceNet, malloryNet] = [hub.network(newDevice()), hub.network(newDevice())]
  const alice = stack.use(createPeer(aliceNet))
  const files = await Promise.all([100, 2 * MiB].map(async (size) => write(alice, `${size}`, noise(size))))
  let turn = 0
  malloryNet.handle(CONTENT_PROTOCOL, async (stream) => {
    for await (const message of stream.messages) {
      const { id } = decode(message)
      const answers = [
        randomBytes(50),
        encode({ type: 'segment', id, info: new Uint8Array(10), port: 1 }),
        encode({ type: 'inline', id, files: [] }),
        encode({ type: 'inline', id, files: [randomBytes(100)] }),
        encode({ type: 'pack', id, has: [true], info: new Uint8Array(10), port: 1 }),
      ]
      await stream.send(answers[turn++ % answers.length] ?? new Uint8Array())
    }
  })
  const bobNet = await networkOf(hub, aliceNet, malloryNet)
  for (let round = 0; round < 5; round++) {
    const bob = stack.use(createPeer(bobNet, { holders: () => [malloryNet.device, aliceNet.device] }))
    await Promise.all(
      files.map(async ({ path, content }) => {
        const to = join(bob.dir, `${content.size}`)
        await fetch(bob, content, to)
        assert.ok(readFileSync(to).equals(readFileSync(path)))
      }),
    )
    await bob.content.close()
  }
})

test('a full disk fails what does not fit, and nothing else', async (t) => {
  await using stack = new AsyncDisposableStack()
  const hub = createMemoryHub()
  const aliceNet = hub.network(newDevice())
  const alice = stack.use(createPeer(aliceNet))
  const bob = stack.use(createPeer(await networkOf(hub, aliceNet)))
  const full = join(bob.dir, 'small-disk')
  mkdirSync(full)
  try {
    execFileSync(MOUNT, ['-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', full], { stdio: 'ignore' })
  } catch {
    t.skip('no rights to mount')
    return
  }
  stack.defer(() => void execFileSync(UNMOUNT, [full]))
  const large = await write(alice, 'large', noise(5 * MiB))
  await assert.rejects(fetch(bob, large.content, join(full, 'large')), {
    name: 'ContentError',
    code: 'disk-full',
  })
  writeFileSync(join(full, 'large'), '')

  const files = await Promise.all(
    Array.from({ length: 10 }, (_, index) => write(alice, `${index}`, noise(300_000))),
  )
  const results = await Promise.allSettled(
    files.map(({ content }, index) => fetch(bob, content, join(full, `${index}`))),
  )
  const failed = results.filter((result) => result.status === 'rejected')
  assert.ok(failed.length >= 3 && failed.length < 10, `${failed.length} failed`)
  for (const { reason } of failed) assert.equal(reason.code, 'disk-full')
  const elsewhere = join(bob.dir, 'elsewhere')
  await fetch(bob, large.content, elsewhere)
  assert.equal(statSync(elsewhere).size, 5 * MiB)
})

test('a folder that is gone fails its file alone', async () => {
  await using stack = new AsyncDisposableStack()
  const hub = createMemoryHub()
  const aliceNet = hub.network(newDevice())
  const alice = stack.use(createPeer(aliceNet))
  const bob = stack.use(createPeer(await networkOf(hub, aliceNet)))
  const files = await Promise.all([100, 50_000, 2 * MiB].map((size) => write(alice, `${size}`, noise(size))))
  const other = await write(alice, 'other', noise(1000))
  await Promise.all([
    ...files.map(({ content }) =>
      assert.rejects(fetch(bob, content, join(bob.dir, 'gone', 'file')), {
        name: 'ContentError',
        code: 'io',
      }),
    ),
    fetch(bob, other.content, join(bob.dir, 'other')),
  ])
})
