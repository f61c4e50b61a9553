import assert from 'node:assert/strict'
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { test } from 'node:test'
import { createMemoryHub } from '../network/memory.ts'
import { ContentError, type FetchRequest } from './content.ts'
import { withoutDirectPaths } from './testing/networks.ts'
import { createPeer, newDevice, noise, SHARE, type TestPeer, until } from './testing/peer.ts'

const MiB = 1024 * 1024

/** Two or more devices that know each other. */
async function meet(
  ...peers: readonly { network: ReturnType<ReturnType<typeof createMemoryHub>['network']> }[]
) {
  for (const a of peers) for (const b of peers) if (a !== b) await a.network.connect(b.network.device)
}

async function pair(
  stack: AsyncDisposableStack,
  wrap = (network: Parameters<typeof createPeer>[0]) => network,
) {
  const hub = createMemoryHub()
  const networks = [hub.network(newDevice()), hub.network(newDevice())] as const
  await meet({ network: networks[0] }, { network: networks[1] })
  const alice = stack.use(createPeer(wrap(networks[0])))
  const bob = stack.use(createPeer(wrap(networks[1])))
  return { hub, alice, bob, networks }
}

function fetch(
  peer: TestPeer,
  request: Omit<FetchRequest, 'share'>,
  signal = AbortSignal.timeout(30_000),
): Promise<void> {
  return peer.content.fetch({ share: SHARE, ...request }, { signal })
}

async function given(peer: TestPeer, name: string, bytes: Uint8Array) {
  const path = join(peer.dir, name)
  writeFileSync(path, bytes)
  const [content] = await peer.add(path)
  assert.ok(content)
  return { path, bytes, content }
}

test('files of all sizes arrive as they are, and nothing else', async () => {
  await using stack = new AsyncDisposableStack()
  const { alice, bob } = await pair(stack)
  for (const size of [0, 1, 1000, 300 * 1024, MiB - 1, MiB, MiB + 1, 5 * MiB + 17, 100 * MiB]) {
    const { bytes, content } = await given(alice, `file${size}`, noise(size))
    const to = join(bob.dir, `file${size}`)
    await fetch(bob, { content, to })
    assert.ok(readFileSync(to).equals(bytes), `${size} bytes`)
    assert.equal(statSync(to).mode & 0o777, 0o600)
  }
  const { remaining, received } = bob.content.progress(SHARE)
  assert.equal(remaining, 0)
  assert.ok(received > 100 * MiB)
  assert.ok(bob.content.stats().received > 100 * MiB && bob.content.stats().received < 120 * MiB)
})

test('thousands of small files travel together', async () => {
  await using stack = new AsyncDisposableStack()
  const { alice, bob } = await pair(stack)
  const files = Array.from({ length: 3000 }, (_, index) => ({
    path: join(alice.dir, `${index}`),
    bytes: noise(index % 50 === 0 ? 100_000 : index * 3),
  }))
  for (const { path, bytes } of files) writeFileSync(path, bytes)
  const contents = await alice.add(...files.map(({ path }) => path))
  await Promise.all(contents.map((content, index) => fetch(bob, { content, to: join(bob.dir, `${index}`) })))
  for (const [index, { bytes }] of files.entries())
    assert.ok(readFileSync(join(bob.dir, `${index}`)).equals(bytes))
})

test('a small file is fetched within a moment', async () => {
  await using stack = new AsyncDisposableStack()
  const { alice, bob } = await pair(stack)
  const times: number[] = []
  for (let index = 0; index < 5; index++) {
    const { content } = await given(alice, `${index}`, noise(1024))
    const start = performance.now()
    await fetch(bob, { content, to: join(bob.dir, `${index}`) })
    times.push(performance.now() - start)
  }
  assert.ok(Math.min(...times) < 60, `${times}`)
})

test('what is here already is copied, and bytes on the wire are few', async () => {
  await using stack = new AsyncDisposableStack()
  const { alice, bob } = await pair(stack)
  const large = await given(alice, 'large', noise(70 * MiB))
  const small = await given(alice, 'small', noise(5000))
  for (const { path, content, bytes } of [large, small]) {
    const own = join(bob.dir, 'own')
    writeFileSync(own, bytes)
    await bob.know(own, content)
    await fetch(bob, { content, to: `${own}.copy` })
    assert.ok(readFileSync(`${own}.copy`).equals(readFileSync(path)))
    bob.forget()
  }
  assert.equal(bob.content.stats().received, 0)
})

test('a local file that no longer has the content it had is not used', async () => {
  await using stack = new AsyncDisposableStack()
  const { alice, bob } = await pair(stack)
  const { content, bytes } = await given(alice, 'file', noise(3 * MiB))
  const own = join(bob.dir, 'own')
  writeFileSync(own, bytes)
  await bob.know(own, content)
  // Same size and times, other bytes: only hashing tells.
  const { atime, mtime } = statSync(own)
  const fd = openSync(own, 'r+')
  writeSync(fd, noise(10), 0, 10, MiB)
  closeSync(fd)
  utimesSync(own, atime, mtime)
  await fetch(bob, { content, to: join(bob.dir, 'to') })
  assert.ok(readFileSync(join(bob.dir, 'to')).equals(bytes))
})

test('of a changed file only what differs is fetched', async () => {
  await using stack = new AsyncDisposableStack()
  const { alice, bob } = await pair(stack)
  const before = await given(alice, 'before', noise(130 * MiB))
  const bytes = Buffer.concat([before.bytes, noise(1000)])
  noise(MiB).copy(bytes, 66 * MiB + 123)
  const { content } = await given(alice, 'after', bytes)
  const old = join(bob.dir, 'old')
  writeFileSync(old, before.bytes)
  const to = join(bob.dir, 'to')
  await fetch(bob, { content, to, base: { path: old, content: before.content } })
  assert.ok(readFileSync(to).equals(bytes))
  const { received, sent } = bob.content.stats()
  assert.ok(received + sent < 2 * MiB, `${received + sent}`)
})

test('equal segments are fetched once, within a file and between files', async () => {
  await using stack = new AsyncDisposableStack()
  const { alice, bob } = await pair(stack)
  const zeros = await given(alice, 'zeros', new Uint8Array(192 * MiB))
  const same = await given(alice, 'same', zeros.bytes)
  await Promise.all([
    fetch(bob, { content: zeros.content, to: join(bob.dir, 'zeros') }),
    fetch(bob, { content: same.content, to: join(bob.dir, 'same') }),
  ])
  for (const name of ['zeros', 'same']) assert.ok(readFileSync(join(bob.dir, name)).equals(zeros.bytes))
  assert.ok(bob.content.stats().received < 70 * MiB, `${bob.content.stats().received}`)
})

test('one content wanted many times at once is fetched once', async () => {
  await using stack = new AsyncDisposableStack()
  const { alice, bob } = await pair(stack)
  const { content, bytes } = await given(alice, 'file', noise(200_000))
  const targets = Array.from({ length: 20 }, (_, index) => join(bob.dir, `${index}`))
  await Promise.all(targets.map((to) => fetch(bob, { content, to })))
  for (const to of targets) assert.ok(readFileSync(to).equals(bytes))
  assert.ok(bob.content.stats().received < 300_000)
})

test('an interrupted fetch keeps what it has, and goes on from there', async () => {
  await using stack = new AsyncDisposableStack()
  const { alice, bob, networks } = await pair(stack)
  const { content, bytes } = await given(alice, 'file', noise(300 * MiB))
  const to = join(bob.dir, 'to')
  const stop = new AbortController()
  const first = fetch(bob, { content, to }, stop.signal)
  const ended = assert.rejects(first, { name: 'ContentError', code: 'aborted' })
  await until(() => bob.content.progress(SHARE).received > 80 * MiB)
  stop.abort()
  await ended
  assert.ok(existsSync(to))
  // Another service, as after a restart.
  await bob.content.close()
  const again = stack.use(createPeer(networks[1]))
  await fetch(again, { content, to })
  assert.ok(readFileSync(to).equals(bytes))
  assert.ok(again.content.stats().received < 240 * MiB, `${again.content.stats().received}`)
})

test('without direct TCP the wire goes over a stream', async () => {
  await using stack = new AsyncDisposableStack()
  const { alice, bob } = await pair(stack, withoutDirectPaths)
  const { content, bytes } = await given(alice, 'file', noise(40 * MiB))
  await fetch(bob, { content, to: join(bob.dir, 'to') })
  assert.ok(readFileSync(join(bob.dir, 'to')).equals(bytes))
  const small = Array.from({ length: 40 }, (_, index) => join(alice.dir, `${index}`))
  for (const path of small) writeFileSync(path, noise(50_000))
  const contents = await alice.add(...small)
  await Promise.all(contents.map((one, index) => fetch(bob, { content: one, to: join(bob.dir, `${index}`) })))
  for (const [index, path] of small.entries()) {
    assert.ok(readFileSync(join(bob.dir, `${index}`)).equals(readFileSync(path)))
  }
})

test('a host that TCP does not reach is left for a stream', async () => {
  await using stack = new AsyncDisposableStack()
  // Nothing listens there.
  const { alice, bob } = await pair(stack, (network) => ({
    ...network,
    peers: () => network.peers().map((peer) => ({ ...peer, host: '127.0.0.9' })),
  }))
  const { content, bytes } = await given(alice, 'file', noise(5 * MiB))
  await fetch(bob, { content, to: join(bob.dir, 'to') })
  assert.ok(readFileSync(join(bob.dir, 'to')).equals(bytes))
})

test('a fetch waits for a holder, and starts when one wakes it', async () => {
  await using stack = new AsyncDisposableStack()
  const hub = createMemoryHub()
  const networks = [hub.network(newDevice()), hub.network(newDevice())] as const
  const alice = stack.use(createPeer(networks[0]))
  const bob = stack.use(createPeer(networks[1]))
  const small = await given(alice, 'small', noise(100))
  const large = await given(alice, 'large', noise(2 * MiB))
  let waiting = 0
  const signal = AbortSignal.timeout(30_000)
  const both = [small, large].map(({ content }, index) =>
    bob.content.fetch(
      { share: SHARE, content, to: join(bob.dir, `${index}`) },
      { signal, onWaiting: () => waiting++ },
    ),
  )
  await until(() => waiting >= 2)
  const start = performance.now()
  await networks[1].connect(networks[0].device)
  await Promise.all(both)
  assert.ok(performance.now() - start < 2000)

  const late = join(alice.dir, 'late')
  writeFileSync(late, noise(100))
  const [content] = await alice.add(late)
  assert.ok(content)
  alice.forget()
  const third = bob.content.fetch(
    { share: SHARE, content, to: join(bob.dir, 'late') },
    { signal, onWaiting: () => waiting++ },
  )
  await until(() => waiting >= 3)
  await alice.know(late, content)
  bob.content.wake(SHARE)
  await third
})

test('stopping ends a fetch that waits, and closing ends all', async () => {
  await using stack = new AsyncDisposableStack()
  const hub = createMemoryHub()
  const bob = stack.use(createPeer(hub.network(newDevice())))
  const alice = stack.use(createPeer(hub.network(newDevice())))
  const small = await given(alice, 'small', noise(100))
  const large = await given(alice, 'large', noise(2 * MiB))
  const stop = new AbortController()
  const stopped = [small, large].map(({ content }, index) =>
    assert.rejects(fetch(bob, { content, to: join(bob.dir, `${index}`) }, stop.signal), { code: 'aborted' }),
  )
  stop.abort()
  await Promise.all(stopped)
  const open = [small, large].map(({ content }, index) =>
    assert.rejects(fetch(bob, { content, to: join(bob.dir, `again${index}`) }), { code: 'aborted' }),
  )
  await bob.content.close()
  await Promise.all(open)
})

test('a version whose parts contradict each other is corrupt', async () => {
  await using stack = new AsyncDisposableStack()
  const { alice, bob } = await pair(stack)
  const { content } = await given(alice, 'file', noise(2 * MiB))
  const other = await given(alice, 'other', noise(2 * MiB))
  const to = join(bob.dir, 'to')
  const [segment] = content.segments
  const [otherSegment] = other.content.segments
  assert.ok(segment && otherSegment)
  const lies = [
    { ...content, size: content.size + 1 },
    { ...content, segments: [] },
    { ...content, sha256: other.content.sha256, segments: content.segments },
  ]
  for (const lie of lies) await assert.rejects(fetch(bob, { content: lie, to }), ContentError)
})

test('a device that may not have the share gets nothing', async () => {
  await using stack = new AsyncDisposableStack()
  const hub = createMemoryHub()
  const networks = [hub.network(newDevice()), hub.network(newDevice())] as const
  await meet({ network: networks[0] }, { network: networks[1] })
  const alice = stack.use(createPeer(networks[0], { mayServe: () => false }))
  const eve = stack.use(createPeer(networks[1]))
  mkdirSync(join(eve.dir, 'to'))
  for (const size of [100, 2 * MiB]) {
    const { content } = await given(alice, `${size}`, noise(size))
    let waits = 0
    const stop = new AbortController()
    const ended = assert.rejects(
      eve.content.fetch(
        { share: SHARE, content, to: join(eve.dir, 'to', `${size}`) },
        { signal: stop.signal, onWaiting: () => waits++ },
      ),
      { code: 'aborted' },
    )
    await until(() => waits > 0)
    stop.abort()
    await ended
  }
  assert.ok(eve.content.stats().received < 1000)
})

test('a holder whose file changed does not serve the old one; another does', async () => {
  await using stack = new AsyncDisposableStack()
  const hub = createMemoryHub()
  const networks = [0, 1, 2].map(() => hub.network(newDevice()))
  await meet(...networks.map((network) => ({ network })))
  const [alice, bob, carol] = networks.map((network) => stack.use(createPeer(network)))
  assert.ok(alice && bob && carol)
  const { content, bytes, path } = await given(alice, 'file', noise(200 * MiB))
  const to = join(bob.dir, 'to')
  const fetched = fetch(bob, { content, to })
  await until(() => bob.content.progress(SHARE).received > 20 * MiB)
  truncateSync(path, 10)
  const copy = join(carol.dir, 'copy')
  writeFileSync(copy, bytes)
  await carol.know(copy, content)
  bob.content.wake(SHARE)
  await fetched
  assert.ok(readFileSync(to).equals(bytes))
})

test('a served segment is announced at the relay’s tracker', async () => {
  await using stack = new AsyncDisposableStack()
  const hub = createMemoryHub()
  const networks = [hub.network(newDevice()), hub.network(newDevice())] as const
  await meet({ network: networks[0] }, { network: networks[1] })
  const asked: string[] = []
  const tracker = createServer((request, response) => {
    asked.push(request.url ?? '')
    response.end('d8:intervali1800e5:peers0:e')
  })
  await new Promise<void>((resolve) => tracker.listen(0, '127.0.0.1', resolve))
  stack.defer(() => void tracker.close())
  const address = tracker.address()
  assert.ok(address !== null && typeof address === 'object')
  const announce = async (_share: string, infoHashes: readonly string[]) => {
    assert.equal(infoHashes.length, 1)
    return [`http://127.0.0.1:${address.port}/announce`, 'ws://127.0.0.1:1']
  }
  const alice = stack.use(createPeer(networks[0], { announce }))
  const bob = stack.use(createPeer(networks[1]))
  const { content } = await given(alice, 'file', noise(2 * MiB))
  await fetch(bob, { content, to: join(bob.dir, 'to') })
  await until(() => asked.some((url) => url.includes('event=started')))
})
