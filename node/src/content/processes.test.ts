import assert from 'node:assert/strict'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { noise, temporaryFolder } from './testing/peer.ts'
import { type ProcessPeer, startProcess } from './testing/processes.ts'

const MiB = 1024 * 1024
const SIZE = 256 * MiB
let dir: string
let bytes: Buffer
let path: string

before(() => {
  dir = temporaryFolder()
  path = join(dir, 'file')
  bytes = noise(SIZE)
  writeFileSync(path, bytes)
})
after(() => rmSync(dir, { recursive: true, force: true }))

async function untilReceived(peer: ProcessPeer, amount: number): Promise<void> {
  while ((await peer.call({ do: 'progress' }, 'progress')).received < amount) {
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

test('a receiver that is killed goes on where it was', async () => {
  await using stack = new AsyncDisposableStack()
  const [alice, bob] = await Promise.all([startProcess(dir), startProcess(dir)])
  stack.use(alice)
  stack.use(bob)
  const [content] = await alice.call({ do: 'add', paths: [path] }, 'contents')
  assert.ok(content)
  await bob.connect(alice)
  const to = join(dir, 'killed')
  const killed = assert.rejects(bob.call({ do: 'fetch', content, to }, 'fetched'))
  await untilReceived(bob, 70 * MiB)
  await bob.kill()
  await killed

  const again = stack.use(await startProcess(dir))
  await again.connect(alice)
  await again.call({ do: 'fetch', content, to }, 'fetched')
  assert.ok(readFileSync(to).equals(bytes))
  const { received } = await again.call({ do: 'progress' }, 'stats')
  assert.ok(received < SIZE - 40 * MiB, `${received} bytes fetched again`)
})

test('two holders send together, and one goes on alone when the other is killed', async () => {
  await using stack = new AsyncDisposableStack()
  const peers = await Promise.all([startProcess(dir), startProcess(dir), startProcess(dir)])
  const [alice, carol, bob] = peers.map((peer) => stack.use(peer))
  assert.ok(alice && bob && carol)
  const [content] = await alice.call({ do: 'add', paths: [path] }, 'contents')
  await carol.call({ do: 'add', paths: [path] }, 'contents')
  assert.ok(content)
  await bob.connect(alice)
  await bob.connect(carol)
  const to = join(dir, 'two')
  const fetched = bob.call({ do: 'fetch', content, to }, 'fetched')
  await untilReceived(bob, 60 * MiB)
  const sent = await Promise.all([alice, carol].map((holder) => holder.call({ do: 'progress' }, 'stats')))
  for (const stats of sent) assert.ok(stats.sent > 5 * MiB, `${stats.sent} bytes sent`)
  await carol.kill()
  await fetched
  assert.ok(readFileSync(to).equals(bytes))
})
