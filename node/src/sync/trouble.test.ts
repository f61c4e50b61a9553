import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FileSystemError } from './file-system.ts'
import { MemoryPair } from './testing/memory-people.ts'

const denied = (path: string) => new FileSystemError('denied', `no permission for ${path}`)

test('what cannot be read is reported, is not taken for deleted, and the rest goes on', async () => {
  const pair = await MemoryPair.make()
  await using _ = pair
  const { alice, bob } = pair
  alice.write('locked/a', 'a')
  alice.write('locked/deep/b', 'b')
  alice.write('secret', 's')
  alice.write('free', 'f')
  await pair.settle()
  alice.fs.intercept = (operation, path) => {
    if (operation === 'list' && path === alice.at('locked')) throw denied(path)
    if (operation === 'stat' && path === alice.at('secret')) throw denied(path)
  }
  alice.write('free', 'changed')
  await alice.placement.scan()
  await pair.settle().catch(() => {})
  assert.deepEqual(
    alice.placement
      .problems()
      .map(({ path }) => path)
      .sort(),
    ['locked', 'secret'],
  )
  assert.match(alice.placement.state().error ?? '', /no permission/)
  assert.deepEqual(await bob.files(), {
    free: 'changed',
    'locked/': '',
    'locked/a': 'a',
    'locked/deep/': '',
    'locked/deep/b': 'b',
    secret: 's',
  })
  alice.fs.intercept = undefined
  await pair.settle()
  assert.deepEqual(alice.placement.problems(), [])
})

test('an unreadable folder that was renamed is not deleted for others', async () => {
  const pair = await MemoryPair.make()
  await using _ = pair
  const { alice, bob } = pair
  alice.write('d/a', 'a')
  await pair.settle()
  await alice.fs.rename(alice.at('d'), alice.at('e'))
  alice.fs.intercept = (operation, path) => {
    if (operation === 'list' && path === alice.at('e')) throw denied(path)
  }
  await alice.placement.scan()
  pair.meet()
  await bob.placement.scan()
  assert.deepEqual(await bob.files(), { 'e/': '', 'e/a': 'a' })
})

test('one file that cannot be put in its place does not stop the others', async () => {
  const pair = await MemoryPair.make()
  await using _ = pair
  const { alice, bob } = pair
  bob.fs.intercept = (operation, path) => {
    if (operation === 'renameFree' && path.endsWith('/bad')) throw denied(path)
  }
  for (const name of ['a', 'bad', 'z']) alice.write(name, name)
  await alice.placement.scan()
  pair.meet()
  for (let i = 0; i < 3; i++) await bob.placement.scan()
  assert.deepEqual(
    Object.keys(await bob.files()).filter((path) => !path.startsWith('.')),
    ['a', 'z'],
  )
  assert.ok(bob.placement.problems().some(({ path }) => path === 'bad'))
  assert.equal(bob.placement.state().pending, 1)
  bob.fs.intercept = undefined
  await pair.settle()
  assert.deepEqual(await bob.files(), await alice.files())
})

test('a full disk is said, nothing is lost, and it goes on when there is room', async () => {
  const pair = await MemoryPair.make()
  await using _ = pair
  const { alice, bob } = pair
  alice.write('a', 'first')
  await pair.settle()
  let full = true
  bob.fs.intercept = (operation, path) => {
    if (full && operation === 'writeFile') throw new FileSystemError('full', `no space for ${path}`)
  }
  alice.write('a', 'second')
  alice.write('b', 'b')
  await alice.placement.scan()
  pair.meet()
  await bob.placement.scan()
  const { state, error } = bob.placement.state()
  assert.deepEqual([state, error], ['error', 'The disk is full'])
  assert.equal((await bob.files()).a, 'first')
  assert.ok(bob.events.some(({ type, message }) => type === 'error' && message === 'The disk is full'))
  full = false
  await pair.settle()
  assert.deepEqual(await bob.files(), await alice.files())
})

test('a file changed in the moment it is replaced stays, and both versions live', async () => {
  const pair = await MemoryPair.make()
  await using _ = pair
  const { alice, bob } = pair
  alice.write('doc', 'first')
  await pair.settle()
  alice.write('doc', 'from alice')
  await alice.placement.scan()
  let once = true
  bob.fs.intercept = (operation, path) => {
    if (operation !== 'renameOver' || !path.endsWith('/doc') || !once) return
    once = false
    bob.write('doc', 'bob saves just now')
  }
  pair.meet()
  await bob.placement.scan()
  await pair.settle()
  const files = await bob.files()
  assert.deepEqual(files, await alice.files())
  assert.deepEqual(Object.values(files).sort(), ['bob saves just now', 'from alice'])
})

test('a file made in the moment another one of its name arrives is not overwritten', async () => {
  const pair = await MemoryPair.make()
  await using _ = pair
  const { alice, bob } = pair
  alice.write('doc', 'from alice')
  await alice.placement.scan()
  let once = true
  bob.fs.intercept = (operation, path) => {
    if (operation !== 'renameFree' || !path.endsWith('/doc') || !once) return
    once = false
    bob.write('doc', 'from bob')
  }
  pair.meet()
  await bob.placement.scan()
  await pair.settle()
  assert.deepEqual(Object.values(await bob.files()).sort(), ['from alice', 'from bob'])
  assert.deepEqual(await bob.files(), await alice.files())
})

test('without hard links all of it works too', async () => {
  const pair = await MemoryPair.make({ hardLinks: false })
  await using _ = pair
  const { alice, bob } = pair
  alice.write('a', '1')
  alice.write('b', '2')
  await pair.settle()
  alice.write('a', 'changed')
  await alice.fs.rename(alice.at('b'), alice.at('c'))
  await pair.settle()
  assert.deepEqual(await bob.files(), { a: 'changed', c: '2' })
  assert.deepEqual(await bob.versions(), ['1'])
})

test('on a volume that ignores case, names that differ in case only stand beside each other', async () => {
  const pair = await MemoryPair.make({ caseSensitive: false })
  await using _ = pair
  const { alice, bob } = pair
  alice.write('Name', 'one')
  await pair.settle()
  // As somebody with a case-sensitive volume would: straight into the share.
  const head = [...alice.share.tree().byPath.values()][0]?.head ?? assert.fail()
  const { versionId } = await import('@cofolder/protocol')
  const { nodeId } = await import('./testing/trees.ts')
  const node = nodeId(77)
  const { content } = head
  const place = {
    type: 'place',
    node,
    kind: 'file',
    parent: 'AAAAAAAAAAAAAAAAAAAAAA',
    name: 'NAME',
    at: Date.now(),
  } as const
  alice.share.write([
    { ...place, parent: [...alice.share.tree().byPath.values()][0]?.parent ?? assert.fail() },
    {
      type: 'version',
      id: versionId({ node, parents: [], content }),
      node,
      parents: [],
      content,
      at: Date.now(),
    },
  ])
  await pair.settle()
  for (const person of [alice, bob]) {
    const names = Object.keys(await person.files())
    assert.equal(names.length, 2)
    assert.ok(names.includes('Name') && names.some((name) => /^NAME~[0-9a-f]{8}$/.test(name)), String(names))
  }
  assert.deepEqual([...bob.share.tree().byPath.keys()].sort(), ['NAME', 'Name'])
  // A rename in case only is a rename.
  await bob.fs.rename(bob.at('Name'), bob.at('nAmE'))
  await pair.settle()
  assert.ok('nAmE' in (await alice.files()))
  assert.ok(bob.share.tree().byPath.has('nAmE'))
})

test('an unexpected error is said, and it goes on afterwards', async () => {
  const pair = await MemoryPair.make()
  await using _ = pair
  const { alice } = pair
  alice.fs.intercept = (operation) => {
    if (operation === 'list') throw new Error('something broke')
  }
  alice.write('a', 'a')
  await alice.placement.scan()
  assert.deepEqual(
    [alice.placement.state().state, alice.placement.state().error],
    ['error', 'something broke'],
  )
  assert.ok(alice.placement.state().notSyncingSince)
  alice.fs.intercept = undefined
  await pair.settle()
  assert.equal(alice.share.tree().byPath.size, 1)
})
