import assert from 'node:assert/strict'
import * as fsp from 'node:fs/promises'
import { test } from 'node:test'
import { Group, type Person, until } from './testing/people.ts'

const watching = async (): Promise<{ group: Group; alice: Person; bob: Person }> => {
  const group = await Group.make({ alice: 'owner', bob: 'editor' }, { watch: true })
  const [alice, bob] = [group.person('alice'), group.person('bob')]
  await until(
    'started',
    () => alice.placement.state().state === 'in-sync' && bob.placement.state().state === 'in-sync',
  )
  return { group, alice, bob }
}

const equal = async (one: Person, other: Person): Promise<boolean> =>
  JSON.stringify(await one.files()) === JSON.stringify(await other.files())

test('changes travel by themselves, and soon', async () => {
  const { group, alice, bob } = await watching()
  await using _ = group
  const delays: number[] = []
  for (let i = 0; i < 8; i++) {
    const [from, to] = i % 2 === 0 ? [alice, bob] : [bob, alice]
    const saved = Date.now()
    await from.write('doc', `version ${i} ${'x'.repeat(1024)}`)
    await until(
      'it arrives',
      async () => (await to.has('doc')) && (await to.read('doc')).startsWith(`version ${i} `),
    )
    delays.push(Date.now() - saved)
  }
  const median = delays.toSorted((a, b) => a - b)[4] ?? 0
  assert.ok(median < 300, `median delay ${median} ms of ${delays}`)
})

test('folders made in quick succession, renamed and written into are all noticed', async () => {
  const { group, alice, bob } = await watching()
  await using _ = group
  await alice.write('a/b/c/d/one', '1')
  await until('deep file', () => bob.has('a/b/c/d/one'))
  await alice.write('a/b/c/d/two', '2')
  await until('file in a new folder', () => bob.has('a/b/c/d/two'))
  await fsp.rename(alice.at('a'), alice.at('z'))
  await until('renamed', () => bob.has('z/b/c/d/two'))
  await alice.write('z/b/c/d/three', '3')
  await until('file in a renamed folder', () => bob.has('z/b/c/d/three'))
  await fsp.rename(alice.at('z/b'), `${alice.root}-away`)
  await until('moved out', async () => !(await bob.has('z/b')))
  await fsp.rename(`${alice.root}-away`, alice.at('back'))
  await until('moved in', () => bob.has('back/c/d/three'))
  await alice.write('back/c/d/four', '4')
  await until('file in a folder moved in', () => bob.has('back/c/d/four'))
  await until('equal', () => equal(alice, bob))
})

test('a file that is written slowly arrives whole, and what is half written does not travel', async () => {
  const { group, alice, bob } = await watching()
  await using _ = group
  const handle = await fsp.open(alice.at('big'), 'w')
  for (let i = 0; i < 12; i++) {
    await handle.write('x'.repeat(1000))
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  await handle.close()
  await until('it arrives', async () => (await bob.has('big')) && (await bob.read('big')).length === 12_000)
  const node = alice.share.tree().byPath.get('big')?.node
  assert.equal(node && alice.share.history(node).length, 1)
})

test('thousands of events at once', async () => {
  const { group, alice, bob } = await watching()
  await using _ = group
  for (let d = 0; d < 20; d++) {
    await fsp.mkdir(alice.at(`d${d}`))
    await Promise.all(
      Array.from({ length: 60 }, (_, i) => fsp.writeFile(alice.at(`d${d}/f${i}`), `${d} ${i}`)),
    )
  }
  await until('all arrive', () => bob.placement.state().filesTotal === 1200, 20_000)
  for (let d = 0; d < 4; d++) await fsp.rm(bob.at(`d${d}`), { recursive: true })
  await Promise.all(Array.from({ length: 60 }, (_, i) => fsp.rename(bob.at(`d5/f${i}`), bob.at(`d6/g${i}`))))
  await until(
    'deletes and renames travel back',
    async () => {
      const { filesTotal, state } = alice.placement.state()
      return state === 'in-sync' && filesTotal === 1200 - 240 && (await equal(alice, bob))
    },
    20_000,
  )
})

test('both change different things at the same time, all the time', async () => {
  const { group, alice, bob } = await watching()
  await using _ = group
  const work = async (person: Person, name: string) => {
    for (let i = 0; i < 15; i++) {
      await person.write(`${name}/f${i % 5}`, `${name} ${i}`)
      if (i % 4 === 3) await fsp.rename(person.at(`${name}/f${i % 5}`), person.at(`${name}/moved${i}`))
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
  }
  await Promise.all([work(alice, 'a'), work(bob, 'b')])
  await until('they agree', async () => {
    const states = [alice, bob].map(({ placement }) => placement.state())
    return (
      states.every(({ state, pending }) => state === 'in-sync' && pending === 0) && (await equal(alice, bob))
    )
  })
  const files = await alice.files()
  assert.equal(Object.values(files).filter((text) => text === 'a 14').length, 1)
  assert.equal(Object.values(files).filter((text) => text === 'b 14').length, 1)
})

test('a root that goes away stops the placement and deletes nothing', async () => {
  const { group, alice, bob } = await watching()
  await using _ = group
  for (let i = 0; i < 4; i++) await alice.write(`f${i}`, `${i}`)
  await until('they arrive', async () => (await bob.has('f3')) && equal(alice, bob))
  await fsp.rename(bob.root, `${bob.root}-unmounted`)
  await until('it waits', () => bob.placement.state().state === 'waiting')
  assert.ok(bob.placement.state().notSyncingSince)
  assert.match(bob.placement.state().error ?? '', /moved or not mounted/)
  await alice.write('f4', 'meanwhile')

  // The empty folder that a mount leaves behind is not the one we know.
  await fsp.mkdir(bob.root)
  await until('it does not take another folder', () => bob.placement.state().state === 'error')
  assert.equal(alice.share.tree().byPath.size, 5)
  assert.deepEqual(await fsp.readdir(bob.root), [])
  await fsp.rmdir(bob.root)

  await fsp.rename(`${bob.root}-unmounted`, bob.root)
  await until('it goes on', async () => (await bob.has('f4')) && bob.placement.state().state === 'in-sync')
  assert.equal(bob.placement.state().notSyncingSince, undefined)
  assert.ok(await equal(alice, bob))
})
