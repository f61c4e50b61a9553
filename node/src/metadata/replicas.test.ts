import assert from 'node:assert/strict'
import { test } from 'node:test'
import { agree, bring, createWorld, knows, note, replicaOf, until } from './testing.ts'

test('an invited person gets the share, and what either writes reaches the other', async () => {
  await using world = await createWorld()
  const alice = await world.person('Alice')
  const bob = await world.person('Bob')
  const hers = await alice.replicas.create({ name: 'Plans', relays: [] })
  const first = note(hers)
  const his = await bring(bob, alice, hers)
  await until(() => knows(his, first), 'Bob has what was there before')
  const second = note(his)
  const third = note(hers)
  await until(() => knows(hers, second) && knows(his, third) && agree(hers, his), 'both have all')
  assert.equal(his.share.settings.name, 'Plans')
  const [peer] = hers.peers()
  assert.equal(peer?.user, bob.identity.userId)
  assert.equal(peer?.via, 'direct')
})

test('edits made apart are merged when the devices meet', async () => {
  await using world = await createWorld()
  const alice = await world.person('Alice')
  const bob = await world.person('Bob')
  const hers = await alice.replicas.create({ name: 'Plans', relays: [] })
  const his = await bring(bob, alice, hers)
  world.hub.partition(alice.identity.deviceId, bob.identity.deviceId)
  await until(() => hers.peers().length === 0 && his.peers().length === 0, 'they are apart')
  const notes = [note(hers), note(his), note(hers)]
  world.hub.heal()
  await until(() => agree(hers, his), 'they agree')
  assert.ok(notes.every((node) => knows(hers, node) && knows(his, node)))
})

test('a share is there again after a restart, with what was written last', async () => {
  await using world = await createWorld()
  const alice = await world.person('Alice')
  const hers = await alice.replicas.create({ name: 'Plans', relays: [] })
  const nodes = Array.from({ length: 50 }, () => note(hers))
  await hers.persisted()
  await alice.crash()
  await alice.start()
  const again = replicaOf(alice, hers.share.id)
  assert.ok(nodes.every((node) => knows(again, node)))
  assert.equal(again.share.role, 'owner')
})
