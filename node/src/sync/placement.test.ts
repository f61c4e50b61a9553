import assert from 'node:assert/strict'
import * as fsp from 'node:fs/promises'
import { test } from 'node:test'
import { Group, type Person, until } from './testing/people.ts'

const pair = async (): Promise<{ group: Group; alice: Person; bob: Person }> => {
  const group = await Group.make({ alice: 'owner', bob: 'editor' })
  return { group, alice: group.person('alice'), bob: group.person('bob') }
}

/** Everybody's folder holds the same; answers what. */
async function same(group: Group): Promise<Record<string, string>> {
  const [first, ...others] = await Promise.all(group.people.map((person) => person.files()))
  for (const other of others) assert.deepEqual(other, first)
  for (const { placement } of group.people) {
    assert.deepEqual(placement.problems(), [])
    assert.equal(placement.state().state, 'in-sync')
  }
  return first ?? {}
}

const apart = (group: Group): void => {
  for (const person of group.people) group.setOnline(person, false)
}
async function meet(group: Group): Promise<Record<string, string>> {
  for (const person of group.people) group.setOnline(person, true)
  await group.settle()
  return same(group)
}
/** Offline work is told to the own document before people meet. */
const scanAll = (group: Group) => Promise.all(group.people.map(({ placement }) => placement.scan()))

test('files, folders and links travel both ways', async () => {
  const { group, alice, bob } = await pair()
  await using _ = group
  await alice.write('notes.txt', 'hello')
  await alice.write('deep/er/file', 'x')
  await alice.write('zero', '')
  await fsp.mkdir(alice.at('empty'))
  await fsp.symlink('notes.txt', alice.at('link'))
  await fsp.symlink('/nowhere/at/all', alice.at('dangling'))
  await fsp.symlink('loop', alice.at('loop'))
  await fsp.symlink('.', alice.at('here'))
  await alice.write('run.sh', '#!/bin/sh')
  await fsp.chmod(alice.at('run.sh'), 0o755)
  await group.settle()
  const first = await same(group)
  assert.equal(first['run.sh'], '*#!/bin/sh')
  assert.equal(await bob.has('.cofolder.tmp'), false)
  const { mtimeMs } = await fsp.stat(alice.at('notes.txt'))
  assert.equal(Math.floor((await fsp.stat(bob.at('notes.txt'))).mtimeMs), Math.floor(mtimeMs))

  await bob.write('notes.txt', 'hello from bob')
  await fsp.rm(bob.at('deep'), { recursive: true })
  await fsp.chmod(bob.at('run.sh'), 0o644)
  await fsp.rename(bob.at('zero'), bob.at('empty/nought'))
  await fsp.rm(bob.at('link'))
  await fsp.symlink('run.sh', bob.at('link'))
  await group.settle()
  const second = await same(group)
  assert.equal(await alice.read('notes.txt'), 'hello from bob')
  assert.equal(second.link, '-> run.sh')
  assert.equal(second['empty/nought'], '')
  assert.equal('deep/' in second, false)
})

test('a renamed folder is one record and moves no bytes', async () => {
  const { group, alice, bob } = await pair()
  await using _ = group
  for (let i = 0; i < 60; i++) await alice.write(`old/sub/f${i}`, `content ${i}`)
  await group.settle()
  const node = alice.share.tree().byPath.get('old')?.node
  const received = bob.content.received
  let records = 0
  const stop = alice.share.onChange(({ batches }) => {
    for (const batch of batches) records += batch.records.length
  })
  await fsp.rename(alice.at('old'), alice.at('new'))
  await group.settle()
  stop()
  await same(group)
  assert.equal(records, 1)
  assert.equal(bob.content.received, received)
  assert.equal(bob.share.tree().byPath.get('new')?.node, node)
})

test('files moved and edited at once, and files moved across folders, keep their nodes', async () => {
  const { group, alice } = await pair()
  await using _ = group
  await alice.write('a/one', 'one')
  await alice.write('a/two', 'two')
  await group.settle()
  const { byPath } = alice.share.tree()
  const [one, two] = [byPath.get('a/one')?.node, byPath.get('a/two')?.node]
  await fsp.mkdir(alice.at('b'))
  await fsp.rename(alice.at('a/one'), alice.at('b/uno'))
  await fsp.appendFile(alice.at('b/uno'), ' more')
  // Another inode, the same content: as `mv` does across file systems.
  await fsp.copyFile(alice.at('a/two'), alice.at('b/due'))
  await fsp.rm(alice.at('a/two'))
  await group.settle()
  const now = alice.share.tree().byPath
  assert.equal(now.get('b/uno')?.node, one)
  assert.equal(now.get('b/due')?.node, two)
  await same(group)
})

test('editors that save by renaming change a file and do not replace its node', async () => {
  const { group, alice, bob } = await pair()
  await using _ = group
  await alice.write('doc', 'v1')
  await group.settle()
  const node = alice.share.tree().byPath.get('doc')?.node

  // Write a new file, rename it over the old one.
  await alice.write('.doc.tmp', 'v2')
  await alice.placement.scan()
  await fsp.rename(alice.at('.doc.tmp'), alice.at('doc'))
  await group.settle()
  assert.equal(await bob.read('doc'), 'v2')
  assert.equal(alice.share.tree().byPath.get('doc')?.node, node)

  // vim: rename the old one away, write the new one, remove the backup.
  await fsp.rename(alice.at('doc'), alice.at('doc~'))
  await alice.write('doc', 'v3')
  await alice.placement.scan()
  await fsp.rm(alice.at('doc~'))
  await group.settle()
  assert.deepEqual(await same(group), { doc: 'v3' })
  assert.equal(alice.share.tree().byPath.get('doc')?.node, node)
  assert.equal(alice.share.history(node ?? assert.fail()).length, 3)
})

test('swapped names, rings and chains of names', async () => {
  const { group, alice, bob } = await pair()
  await using _ = group
  for (const name of ['a', 'b', 'c', 'd']) await alice.write(name, name.repeat(9))
  await alice.write('x/inner', 'x')
  await alice.write('y/inner', 'y')
  await group.settle()
  const nodes = new Map([...alice.share.tree().byPath].map(([path, { node }]) => [path, node]))
  const received = bob.content.received

  await fsp.rename(alice.at('a'), alice.at('t'))
  await fsp.rename(alice.at('b'), alice.at('a'))
  await fsp.rename(alice.at('t'), alice.at('b'))
  await fsp.rename(alice.at('d'), alice.at('e'))
  await fsp.rename(alice.at('c'), alice.at('d'))
  await fsp.rename(alice.at('x'), alice.at('t'))
  await fsp.rename(alice.at('y'), alice.at('x'))
  await fsp.rename(alice.at('t'), alice.at('y'))
  await group.settle()
  const now = await same(group)
  assert.deepEqual(now, {
    a: 'b'.repeat(9),
    b: 'a'.repeat(9),
    d: 'c'.repeat(9),
    e: 'd'.repeat(9),
    'x/': '',
    'x/inner': 'y',
    'y/': '',
    'y/inner': 'x',
  })
  assert.equal(bob.content.received, received)
  assert.equal(alice.share.tree().byPath.get('a')?.node, nodes.get('b'))
  assert.equal(alice.share.tree().byPath.get('x')?.node, nodes.get('y'))
  assert.equal(await bob.has('.cofolder.tmp'), false)
})

test('a folder and what is in it change places', async () => {
  const { group, alice } = await pair()
  await using _ = group
  await alice.write('x/x/file', 'inner')
  await alice.write('x/other', 'outer')
  await group.settle()
  await fsp.rename(alice.at('x/x'), alice.at('t'))
  await fsp.rename(alice.at('x'), alice.at('t/x'))
  await fsp.rename(alice.at('t'), alice.at('x'))
  await group.settle()
  const now = await same(group)
  assert.deepEqual(now, { 'x/': '', 'x/file': 'inner', 'x/x/': '', 'x/x/other': 'outer' })
})

test('a file becomes a folder, a folder a file, a file a link', async () => {
  const { group, alice } = await pair()
  await using _ = group
  await alice.write('f', 'file')
  await alice.write('d/in', 'in')
  await alice.write('l', 'file')
  await group.settle()
  await fsp.rm(alice.at('f'))
  await alice.write('f/in', 'in')
  await fsp.rm(alice.at('d'), { recursive: true })
  await alice.write('d', 'file now')
  await fsp.rm(alice.at('l'))
  await fsp.symlink('d', alice.at('l'))
  await group.settle()
  assert.deepEqual(await same(group), { d: 'file now', 'f/': '', 'f/in': 'in', l: '-> d' })
})

test('both edit offline: the newer stays, the other is kept beside it, nothing is lost', async () => {
  const { group, alice, bob } = await pair()
  await using _ = group
  await alice.write('doc', 'start')
  await group.settle()
  apart(group)
  await alice.write('doc', 'from alice')
  await bob.write('doc', 'from bob')
  await fsp.utimes(alice.at('doc'), 1000, 1000)
  await fsp.utimes(bob.at('doc'), 2000, 2000)
  await scanAll(group)
  const now = await meet(group)
  assert.equal(now.doc, 'from bob')
  assert.deepEqual(Object.values(now).sort(), ['from alice', 'from bob'])
  assert.ok(Object.keys(now).some((name) => /^doc \(conflict-alice-\d{4}-\d\d-\d\d\)$/.test(name)))
  assert.ok([...alice.events, ...bob.events].some(({ type }) => type === 'conflict'))
})

test('offline renames, edits and deletes on both sides merge', async () => {
  const { group, alice, bob } = await pair()
  await using _ = group
  for (const name of ['renamed', 'edited', 'deleted', 'both', 'dir/a', 'dir/b'])
    await alice.write(name, `old ${name}`)
  await group.settle()
  apart(group)
  await fsp.rename(alice.at('renamed'), alice.at('renamed by alice'))
  await bob.write('renamed', 'edited by bob')
  await bob.write('edited', 'edited by bob')
  await fsp.rm(alice.at('edited'))
  await fsp.rm(alice.at('deleted'))
  await fsp.rm(alice.at('both'))
  await fsp.rm(bob.at('both'))
  await fsp.rm(alice.at('dir'), { recursive: true })
  await bob.write('dir/new', 'new in a deleted folder')
  await scanAll(group)
  assert.deepEqual(await meet(group), {
    'dir/': '',
    'dir/new': 'new in a deleted folder',
    edited: 'edited by bob',
    'renamed by alice': 'edited by bob',
  })
})

test('the same file made on both sides is adopted without traffic; different ones both stay', async () => {
  const { group, alice, bob } = await pair()
  await using _ = group
  apart(group)
  for (const person of [alice, bob]) {
    await person.write('dir/same', 'equal bytes')
    await person.write('dir/other', `of ${person.identity.name}`)
    await fsp.symlink('same', person.at('dir/link'))
  }
  await scanAll(group)
  const [before, beforeBob] = [alice.content.received, bob.content.received]
  const now = await meet(group)
  assert.equal(now['dir/same'], 'equal bytes')
  assert.equal(now['dir/link'], '-> same')
  assert.deepEqual(
    Object.values(now)
      .filter((text) => text.startsWith('of'))
      .sort(),
    ['of alice', 'of bob'],
  )
  assert.equal(Object.values(now).filter((text) => text === 'equal bytes').length, 1)
  assert.equal(
    alice.content.received + bob.content.received - before - beforeBob,
    'of alice'.length + 'of bob'.length,
  )
})

test('accepting into a folder that has files merges', async () => {
  const group = await Group.make({ alice: 'owner', bob: 'editor' })
  await using _ = group
  const [alice, bob] = [group.person('alice'), group.person('bob')]
  await bob.stop()
  await alice.write('same', 'equal')
  await alice.write('differs', 'alice')
  await alice.write('d/a', 'a')
  await alice.placement.scan()
  group.exchangeDocuments()
  await bob.write('same', 'equal')
  await bob.write('differs', 'bob, much later')
  await fsp.utimes(bob.at('differs'), new Date(), new Date(Date.now() + 5000))
  await bob.write('d/b', 'b')
  await bob.start()
  await group.settle()
  const now = await same(group)
  assert.equal(now.differs, 'bob, much later')
  assert.ok(
    Object.entries(now).some(
      ([name, text]) => name.startsWith('differs (conflict-alice') && text === 'alice',
    ),
  )
  assert.deepEqual([now.same, now['d/a'], now['d/b']], ['equal', 'a', 'b'])
  assert.equal(Object.keys(now).length, 6)
})

test('a viewer changes nothing for others, and keeps what he wrote', async () => {
  const group = await Group.make({ alice: 'owner', vera: 'viewer' })
  await using _ = group
  const [alice, vera] = [group.person('alice'), group.person('vera')]
  await alice.write('a', 'one')
  await alice.write('b', 'two')
  await alice.write('c', 'three')
  await group.settle()
  await vera.write('a', 'of vera')
  await fsp.rm(vera.at('b'))
  await fsp.rename(vera.at('c'), vera.at('moved'))
  await vera.write('own', 'private')
  await group.settle()
  assert.deepEqual(await alice.files(), { a: 'one', b: 'two', c: 'three' })
  const files = await vera.files()
  assert.deepEqual([files.a, files.b, files.c, files.own], ['one', 'two', 'three', 'private'])
  const aside = Object.keys(files).find((name) => name.startsWith('a (conflict-vera-'))
  assert.equal(aside && files[aside], 'of vera')
  assert.equal(Object.keys(files).length, 5)
  // A file of the share under the name of one of hers.
  await alice.write('own', 'public')
  await group.settle()
  assert.equal(await vera.read('own'), 'public')
  assert.ok(
    Object.entries(await vera.files()).some(
      ([name, text]) => name.startsWith('own (conflict-vera') && text === 'private',
    ),
  )
  assert.equal(vera.placement.state().state, 'in-sync')
})

test('what sync replaces or removes is in the version store', async () => {
  const { group, alice, bob } = await pair()
  await using _ = group
  await alice.write('doc', 'first')
  await alice.write('gone', 'precious')
  await group.settle()
  await alice.write('doc', 'second')
  await fsp.rm(alice.at('gone'))
  await group.settle()
  const kept = await bob.history.list(bob.share.id)
  assert.deepEqual(kept.map(({ path }) => path).sort(), ['doc', 'gone'])
  for (const { path, sha256 } of kept) {
    const [location] = await bob.history.locate(bob.share.id, Uint8Array.from(Buffer.from(sha256, 'hex')))
    assert.equal(
      location && (await fsp.readFile(location.path, 'utf8')),
      path === 'doc' ? 'first' : 'precious',
    )
  }
})

test('names that are equal in NFC, differ in case, or are strange', async () => {
  const { group, alice, bob } = await pair()
  await using _ = group
  await alice.write('café'.normalize('NFC'), 'composed')
  await alice.write('café'.normalize('NFD'), 'decomposed')
  await alice.write('Readme', 'upper')
  await alice.write('README', 'shout')
  await alice.write('a\\b:c*?"<>|\n', 'strange')
  await alice.write('x'.repeat(255), 'long')
  await alice.write(`${`${'d'.repeat(200)}/`.repeat(12)}leaf`, 'deep')
  await fsp.writeFile(
    Buffer.concat([Buffer.from(`${alice.root}/bad`), Buffer.from([0xff, 0xfe])]),
    'not unicode',
  )
  await group.settle()
  const theirs = await bob.files()
  assert.deepEqual(
    Object.values(theirs).filter(Boolean).sort(),
    ['composed', 'decomposed', 'deep', 'long', 'shout', 'strange', 'upper'].sort(),
  )
  assert.equal(theirs['café'.normalize('NFC')] !== undefined, true)
  assert.equal(alice.placement.problems().length, 1)
  assert.deepEqual(await bob.placement.problems(), [])
  assert.equal(alice.placement.state().state, 'in-sync')
})

test('a file kept under its decomposed name stays so, and edits of it travel', async () => {
  const { group, alice, bob } = await pair()
  await using _ = group
  const nfd = 'café'.normalize('NFD')
  await alice.write(nfd, 'one')
  await group.settle()
  assert.equal(await bob.read('café'.normalize('NFC')), 'one')
  await bob.write('café'.normalize('NFC'), 'two')
  await group.settle()
  assert.equal(await alice.read(nfd), 'two')
  assert.deepEqual(Object.keys(await alice.files()), [nfd])
})

test('a folder that a link replaces leads nowhere outside', async () => {
  const { group, alice, bob } = await pair()
  await using _ = group
  await alice.write('dir/a', 'a')
  await group.settle()
  const outside = `${bob.root}-outside`
  await fsp.mkdir(outside)
  await fsp.writeFile(`${outside}/a`, 'not ours')
  await fsp.rename(bob.at('dir'), bob.at('moved'))
  await fsp.symlink(outside, bob.at('dir'))
  await alice.write('dir/b', 'b')
  await alice.write('dir/a', 'changed')
  await group.settle()
  await same(group)
  assert.deepEqual(await fsp.readdir(outside), ['a'])
  assert.equal(await fsp.readFile(`${outside}/a`, 'utf8'), 'not ours')
})

test('a third member gets everything from the second', async () => {
  const group = await Group.make({ alice: 'owner', bob: 'editor', carol: 'editor' })
  await using _ = group
  const [alice, bob, carol] = [group.person('alice'), group.person('bob'), group.person('carol')]
  group.setOnline(carol, false)
  await alice.write('a/b', 'x')
  await Promise.all([alice.placement.scan(), bob.placement.scan()])
  await until('bob has it', () => bob.has('a/b'))
  group.setOnline(alice, false)
  group.setOnline(carol, true)
  await carol.placement.scan()
  assert.equal(await carol.read('a/b'), 'x')
})

test('content nobody can give is waited for, and comes when somebody can', async () => {
  const { group, alice, bob } = await pair()
  await using _ = group
  await alice.write('a', 'x')
  await alice.write('b', 'y')
  alice.content.online = false
  await alice.placement.scan()
  await bob.placement.scan()
  await until(
    'bob waits',
    () => bob.placement.state().state === 'waiting' && bob.placement.state().pending === 2,
  )
  alice.content.online = true
  await until('it comes', () => bob.placement.state().state === 'in-sync')
  await group.settle()
  await same(group)
})

test('after a restart nothing is hashed or sent again, and what changed meanwhile travels', async () => {
  const { group, alice, bob } = await pair()
  await using _ = group
  for (let i = 0; i < 20; i++) await alice.write(`f${i}`, `content ${i}`)
  await group.settle()
  await bob.stop()
  await fsp.rename(bob.at('f0'), bob.at('g0'))
  await bob.write('f1', 'changed offline')
  await fsp.rm(bob.at('f2'))
  await bob.start()
  await group.settle()
  assert.equal(bob.content.digested, 1)
  assert.equal(bob.content.received, 0)
  const now = await same(group)
  assert.deepEqual([now.g0, now.f1, now.f2], ['content 0', 'changed offline', undefined])
})

test('a damaged or lost base heals by content', async () => {
  const { group, alice, bob } = await pair()
  await using _ = group
  for (let i = 0; i < 5; i++) await alice.write(`d/f${i}`, `content ${i}`)
  await group.settle()
  await bob.stop()
  await fsp.rm(`${bob.root}/../db`, { recursive: true })
  await bob.start()
  await group.settle()
  await same(group)
  assert.equal(bob.content.received, 0)
  assert.equal(bob.share.tree().byPath.size, 6)
})

test('a folder others deleted stays where it holds what is nobody else’s', async () => {
  const group = await Group.make({ alice: 'owner', bob: 'editor', vera: 'viewer' })
  await using _ = group
  const [alice, bob, vera] = [group.person('alice'), group.person('bob'), group.person('vera')]
  await alice.write('d/shared', 'x')
  await alice.write('e/shared', 'x')
  await group.settle()
  await vera.write('d/own', 'of vera')
  await bob.write('e/unsaid', 'of bob')
  await fsp.rm(alice.at('d'), { recursive: true })
  await fsp.rm(alice.at('e'), { recursive: true })
  await group.settle()
  assert.deepEqual(await vera.files(), { 'd/': '', 'd/own': 'of vera', 'e/': '', 'e/unsaid': 'of bob' })
  assert.deepEqual(await alice.files(), { 'e/': '', 'e/unsaid': 'of bob' })
  assert.deepEqual(await bob.files(), await alice.files())
  for (const { placement } of group.people) assert.equal(placement.state().state, 'in-sync')
})

test('who is no longer a member keeps his folder as it is', async () => {
  const { group, alice, bob } = await pair()
  await using _ = group
  await alice.write('a', 'shared')
  await group.settle()
  alice.share.remove(bob.identity.userId, Date.now())
  group.exchangeDocuments()
  await bob.write('a', 'his own now')
  await alice.write('a', 'not for bob')
  await alice.write('b', 'not for bob')
  await Promise.all([alice.placement.scan(), bob.placement.scan()])
  group.exchangeDocuments()
  await Promise.all([alice.placement.scan(), bob.placement.scan()])
  assert.deepEqual(await bob.files(), { a: 'his own now' })
  assert.equal(bob.placement.state().state, 'waiting')
  assert.equal(await alice.read('a'), 'not for bob')
})
