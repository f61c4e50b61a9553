import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  createIdentity,
  crypto,
  encodeCbor,
  type NodeId,
  type ShareId,
  SYNC_PROTOCOL,
  stateVectorMessage,
  toBase64url,
} from '@cofolder/protocol'
import { sublevelOf } from './log.ts'
import {
  agree,
  bring,
  createWorld,
  isMemberAt,
  knows,
  nextInvite,
  note,
  replicaOf,
  until,
} from './testing.ts'

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

test('killed at any moment, a device loses nothing that it wrote and had told of, and nothing it knew was safe', async () => {
  await using world = await createWorld()
  const alice = await world.person('Alice')
  const bob = await world.person('Bob')
  const hers = await alice.replicas.create({ name: 'Plans', relays: [] })
  let his = await bring(bob, alice, hers)
  const safe: NodeId[] = []
  const told = new Set<NodeId>()
  const written: NodeId[] = []
  for (let round = 0; round < 12; round++) {
    const replica = his
    let killed = false
    const writing = (async () => {
      for (let i = 0; i < 40; i++) {
        const nodes = Array.from({ length: 1 + (i % 3) }, () => note(replica))
        written.push(...nodes)
        note(hers)
        if (i % 5 !== 0) await new Promise((resolve) => setTimeout(resolve, Math.random() * 3))
        else await replica.persisted()
        if (i % 5 === 0 && !killed) safe.push(...nodes)
      }
    })().catch(() => undefined)
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 60))
    killed = true
    await bob.crash()
    await writing
    for (const node of written) if (knows(hers, node)) told.add(node)
    await bob.start()
    his = replicaOf(bob, hers.share.id)
    const again = his
    assert.ok(
      [...told].every((node) => knows(again, node)),
      'what others have is on disk',
    )
    await until(() => agree(hers, again), 'they agree')
    assert.ok(
      safe.every((node) => knows(again, node)),
      'what was persisted is there',
    )
  }
  assert.ok(told.size > 50)
  assert.deepEqual(
    bob.problems.filter(({ kind }) => kind === 'damaged'),
    [],
  )
})

test('damaged entries are reported and come back from the others', async () => {
  await using world = await createWorld()
  const alice = await world.person('Alice')
  const bob = await world.person('Bob')
  const hers = await alice.replicas.create({ name: 'Plans', relays: [] })
  const his = await bring(bob, alice, hers)
  const nodes: NodeId[] = []
  for (let i = 0; i < 6; i++) {
    nodes.push(note(i % 2 === 0 ? hers : his))
    await hers.persisted()
    await until(() => agree(hers, his), 'they agree')
  }
  await his.persisted()
  const level = sublevelOf(bob.db)
  const keys = (await level.keys().all()).filter((key) => key.startsWith('log!'))
  for (const key of keys.filter((_, i) => i % 2 === 1)) {
    const value = (await level.get(key)) ?? new Uint8Array()
    value[value.length >> 1] = (value[value.length >> 1] ?? 0) ^ 0xff
    await level.put(key, value)
  }
  await bob.stop()
  await bob.start()
  assert.ok(bob.problems.some(({ kind }) => kind === 'damaged'))
  const again = replicaOf(bob, hers.share.id)
  await until(() => agree(hers, again), 'they agree')
  assert.ok(nodes.every((node) => knows(again, node)))

  bob.problems.length = 0
  await again.persisted()
  await bob.stop()
  world.hub.partition(alice.identity.deviceId, bob.identity.deviceId)
  await bob.start()
  assert.deepEqual(bob.problems, [])
  assert.ok(
    nodes.every((node) => knows(replicaOf(bob, hers.share.id), node)),
    'what came back is on disk',
  )
})

test('a damaged entry takes nothing else with it, even when nobody else has the rest', async () => {
  await using world = await createWorld()
  const alice = await world.person('Alice')
  const hers = await alice.replicas.create({ name: 'Plans', relays: [] })
  const nodes: NodeId[] = []
  for (let i = 0; i < 5; i++) {
    nodes.push(note(hers))
    await hers.persisted()
  }
  const level = sublevelOf(alice.db)
  const keys = (await level.keys().all()).filter((key) => key.startsWith('log!'))
  await level.put(keys[2] ?? '', new Uint8Array(40))
  await alice.stop()
  for (let round = 0; round < 2; round++) {
    await alice.start()
    const again = replicaOf(alice, hers.share.id)
    assert.deepEqual(
      nodes.map((node) => knows(again, node)),
      [true, false, true, true, true],
    )
    await alice.stop()
  }
  assert.equal(alice.problems.filter(({ kind }) => kind === 'damaged').length, 1)
})

test('what a viewer writes into his document reaches nobody; what he may say is let in by an editor', async () => {
  await using world = await createWorld()
  const alice = await world.person('Alice')
  const bob = await world.person('Bob')
  const carol = await world.person('Carol')
  const hers = await alice.replicas.create({ name: 'Plans', relays: [] })
  const editors = await bring(bob, alice, hers)
  const viewers = await bring(carol, alice, hers, 'viewer')
  assert.throws(() => note(viewers), { code: 'forbidden' })

  const { deviceId } = carol.identity
  viewers.share.write([
    { type: 'placement', device: deviceId, where: 'local', label: 'local', mode: 'two-way', at: Date.now() },
  ])
  await until(() => editors.share.placements.has(deviceId), "Bob sees Carol's placement")
  await until(() => viewers.share.placements.has(deviceId), 'Carol sees it in the document')
  await until(() => viewers.share.outbox.length === 0, 'nothing waits any more')

  viewers.share.doc.getMap('batches').set('junk', new Uint8Array([1, 2, 3]))
  viewers.share.doc.getMap('changes').delete([...viewers.share.doc.getMap('changes').keys()][0] ?? '')
  const node = note(hers)
  await until(() => knows(viewers, node) && knows(editors, node), 'all have what Alice wrote')
  for (const replica of [hers, editors]) assert.equal(replica.share.doc.getMap('batches').has('junk'), false)
})

test("a viewer's placement written offline is kept through a crash and submitted later", async () => {
  await using world = await createWorld()
  const alice = await world.person('Alice')
  const bob = await world.person('Bob')
  const hers = await alice.replicas.create({ name: 'Plans', relays: [] })
  const his = await bring(bob, alice, hers, 'viewer')
  await alice.stop()
  const { deviceId } = bob.identity
  his.share.write([
    { type: 'placement', device: deviceId, where: 'local', label: 'local', mode: 'two-way', at: Date.now() },
  ])
  await his.persisted()
  await bob.crash()
  await bob.start()
  await alice.start()
  await until(() => replicaOf(alice, hers.share.id).share.placements.has(deviceId), 'Alice has it')
})

test('an outsider who knows the share gets the same answer as for a share that does not exist', async () => {
  await using world = await createWorld()
  const alice = await world.person('Alice')
  const eve = world.hub.network(createIdentity({ name: 'Eve', deviceName: 'x', at: 0 }).deviceId)
  const hers = await alice.replicas.create({ name: 'Plans', relays: [] })
  const other = toBase64url(crypto.randomBytes(16)) as ShareId
  for (const share of [hers.share.id, other]) {
    await using stream = await eve.open(alice.identity.deviceId, SYNC_PROTOCOL)
    await stream.send(encodeCbor({ share, changes: [crypto.randomBytes(500)] }))
    await stream.send(stateVectorMessage(new Uint8Array([0]))).catch(() => undefined)
    const answers: Uint8Array[] = []
    for await (const message of stream.messages) answers.push(message)
    assert.deepEqual(answers, [])
  }
  for (const garbage of [new Uint8Array(), crypto.randomBytes(1000)]) {
    await using stream = await eve.open(alice.identity.deviceId, SYNC_PROTOCOL)
    await stream.send(garbage)
    for await (const _ of stream.messages) assert.fail('an answer to garbage')
  }
  assert.deepEqual(alice.problems, [])
  await eve.close()
})

test('garbage from a member ends the stream, changes nothing, and the two find together again', async () => {
  await using world = await createWorld()
  const alice = await world.person('Alice')
  const bob = await world.person('Bob')
  const hers = await alice.replicas.create({ name: 'Plans', relays: [] })
  const his = await bring(bob, alice, hers)
  const before = hers.share.fingerprint
  for (const garbage of [[0, 2, 200], [0, 0, 1], [1, 3, 1, 1, 1], [100], [55, 1]]) {
    await using stream = await bob.network.open(alice.identity.deviceId, SYNC_PROTOCOL)
    await stream.send(encodeCbor({ share: hers.share.id, changes: [] }))
    await stream.send(new Uint8Array(garbage)).catch(() => undefined)
    for await (const _ of stream.messages);
  }
  assert.equal(hers.share.fingerprint, before)
  const node = note(his)
  await until(() => knows(hers, node), 'Alice hears of Bob again')
})

test('a third member joins from the second while the first is offline', async () => {
  await using world = await createWorld()
  const alice = await world.person('Alice')
  const bob = await world.person('Bob')
  const carol = await world.person('Carol')
  const hers = await alice.replicas.create({ name: 'Plans', relays: [] })
  const his = await bring(bob, alice, hers)
  const node = note(hers)
  const payload = hers.share.invite({ role: 'viewer', for: carol.identity.userId, at: Date.now() })
  await alice.replicas.sendInvite(carol.card(), payload)
  const received = await nextInvite(carol)
  await until(() => agree(hers, his), 'Bob knows of the invite')
  await alice.stop()
  const third = await carol.replicas.join(received)
  await until(() => knows(third, node), 'Carol has everything from Bob')
  await until(() => third.share.role === 'viewer', 'and is a member')

  const later = note(his)
  await alice.start()
  const again = replicaOf(alice, hers.share.id)
  await until(() => agree(again, his, third), 'all agree once Alice is back')
  assert.ok(knows(again, later) && isMemberAt(again, carol))
})

test('a removed member is cut off at once', async () => {
  await using world = await createWorld()
  const alice = await world.person('Alice')
  const bob = await world.person('Bob')
  const carol = await world.person('Carol')
  const hers = await alice.replicas.create({ name: 'Plans', relays: [] })
  const his = await bring(bob, alice, hers)
  const others = await bring(carol, alice, hers)
  await until(() => agree(hers, his, others) && others.peers().length === 2, 'all are connected')
  hers.share.remove(bob.identity.userId, Date.now())
  const secret = note(hers)
  await until(() => knows(others, secret), 'Carol goes on')
  await until(() => his.peers().length === 0 && hers.peers().length === 1, 'Bob has no stream any more')
  assert.equal(knows(his, secret), false)
  assert.equal(his.share.role, undefined, 'Bob knows that he is out')
  await using stream = await bob.network.open(carol.identity.deviceId, SYNC_PROTOCOL)
  await stream.send(encodeCbor({ share: hers.share.id, changes: [] }))
  for await (const _ of stream.messages) assert.fail('Carol answers Bob')
})

test('who leaves is gone for the others, and gets no new keys', async () => {
  await using world = await createWorld()
  const alice = await world.person('Alice')
  const bob = await world.person('Bob')
  const hers = await alice.replicas.create({ name: 'Plans', relays: [] })
  const his = await bring(bob, alice, hers)
  his.share.leave(Date.now())
  await until(() => hers.share.membership.members.get(bob.identity.userId)?.status === 'left', 'Alice knows')
  await until(() => hers.share.membership.epoch > 0, 'new keys are made')
  await bob.replicas.forget(hers.share.id)
  assert.deepEqual(bob.replicas.list(), [])
  await bob.stop()
  await bob.start()
  assert.deepEqual(bob.replicas.list(), [])
})
