import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { createLink, type InvitePayload } from '@cofolder/protocol'
import { type Relay, startRelay } from '@cofolder/relay'
import type { Replica } from './replicas.ts'
import {
  agree,
  bring,
  createWorld,
  isMemberAt,
  knows,
  nextInvite,
  note,
  type Person,
  replicaOf,
  until,
  type World,
} from './testing.ts'

interface Place {
  readonly world: World
  readonly url: string
  stopRelay(): Promise<void>
  startRelay(): Promise<void>
}

/** A world with a real relay. */
async function withRelay(run: (place: Place) => Promise<void>): Promise<void> {
  const dataDir = await mkdtemp(join(tmpdir(), 'cofolder-relay-'))
  const world = await createWorld()
  let relay: Relay | undefined = await startRelay({ dataDir })
  const { url } = relay
  const port = Number(new URL(url).port)
  try {
    await run({
      world,
      url,
      async stopRelay() {
        await relay?.close()
        relay = undefined
      },
      async startRelay() {
        relay = await startRelay({ dataDir, port })
      },
    })
  } finally {
    await world[Symbol.asyncDispose]()
    await relay?.close()
    await rm(dataDir, { recursive: true, force: true })
  }
}

/** Devices that reach each other over the relay alone. */
function cutOff(world: World, ...people: readonly Person[]): void {
  for (const one of people) {
    for (const other of people)
      if (one !== other) world.hub.partition(one.identity.deviceId, other.identity.deviceId)
  }
}

/** Joins by a link. */
async function joinByLink(
  guest: Person,
  owner: Person,
  replica: Replica,
  role: 'editor' | 'viewer',
): Promise<Replica> {
  const payload = replica.share.invite({ role, at: Date.now() })
  const { relay } = await owner.replicas.publishLink(payload)
  return guest.replicas.join(await guest.replicas.openLink(createLink(relay, payload.seed)))
}

const online = (replica: Replica): boolean => replica.relays().some(({ connected }) => connected)

test('two people who cannot reach each other sync over the relay', () =>
  withRelay(async ({ world, url }) => {
    const alice = await world.person('Alice', { relays: [url] })
    const bob = await world.person('Bob', { relays: [url] })
    cutOff(world, alice, bob)
    const hers = await alice.replicas.create({ name: 'Plans', relays: [url] })
    const his = await bring(bob, alice, hers)
    const nodes = [note(hers), note(his)]
    await until(() => nodes.every((node) => knows(hers, node) && knows(his, node)), 'both have all')
    await until(
      () => hers.peers()[0]?.fingerprint === hers.share.fingerprint,
      'presence comes over the relay',
    )
    assert.equal(hers.peers()[0]?.via, 'relay')
    const settled = await hers.settle({ timeout: 5000, local: async () => undefined })
    assert.deepEqual(settled, { settled: true, waitingFor: [] })
    await bob.stop()
    await until(() => hers.peers().length === 0, 'Bob is gone at once')
  }))

test('a link lets a stranger in, as a viewer over the relay alone too; withdrawn, it leads nowhere', () =>
  withRelay(async ({ world, url }) => {
    const alice = await world.person('Alice', { relays: [url] })
    const bob = await world.person('Bob')
    cutOff(world, alice, bob)
    const hers = await alice.replicas.create({ name: 'Plans', relays: [url] })
    const node = note(hers)
    const his = await joinByLink(bob, alice, hers, 'viewer')
    await until(() => knows(his, node) && his.share.role === 'viewer', 'Bob is in')
    const { deviceId } = bob.identity
    his.share.write([
      {
        type: 'placement',
        device: deviceId,
        where: 'local',
        label: 'local',
        mode: 'two-way',
        at: Date.now(),
      },
    ])
    await until(() => hers.share.placements.has(deviceId), "Alice sees Bob's placement")
    const another = hers.share.invite({ role: 'editor', at: Date.now() })
    const { relay } = await alice.replicas.publishLink(another)
    const link = createLink(relay, another.seed)
    await bob.replicas.openLink(link)
    await alice.replicas.withdrawLink({ relay, seed: another.seed })
    await assert.rejects(bob.replicas.openLink(link), { status: 404 })
    await alice.replicas.withdrawLink({ relay, seed: another.seed })
  }))

test('the mailbox keeps an invite and its decline while the other is offline', () =>
  withRelay(async ({ world, url }) => {
    const alice = await world.person('Alice', { relays: [url] })
    const bob = await world.person('Bob', { relays: [url] })
    const card = bob.card()
    await bob.stop()
    const hers = await alice.replicas.create({ name: 'Plans', relays: [url] })
    const payload = hers.share.invite({ role: 'editor', for: bob.identity.userId, at: Date.now() })
    await alice.replicas.sendInvite(card, payload)
    await until(() => alice.replicas.outgoing === 0, 'the relay has it')
    const from = alice.card()
    await alice.stop()
    await bob.start()
    const received = await nextInvite(bob)
    assert.equal(received.name, 'Plans')
    await bob.replicas.sendDecline(from, received.share, payloadInvite(hers))
    await until(() => bob.replicas.outgoing === 0, 'the relay has the decline')
    await bob.stop()
    await alice.start()
    await until(() => alice.envelopes.length === 1, 'Alice has the decline')
    assert.deepEqual(alice.envelopes[0]?.letter, {
      type: 'declined',
      share: hers.share.id,
      invite: payloadInvite(hers),
    })
    await bob.start()
    await alice.replicas.sendInvite(bob.card(), { ...payload, name: 'Another' })
    await until(() => bob.envelopes.length > 0, 'Bob has the later invite')
    const names = bob.envelopes.map(({ letter }) => letter.type === 'invite' && letter.payload.name)
    assert.deepEqual(names, ['Another'], 'an envelope comes once')
  }))

const payloadInvite = (replica: Replica) => {
  const [invite] = replica.share.membership.invites.keys()
  if (!invite) throw new Error('no invite')
  return invite
}

test('an invite sent with relay and recipient away is delivered when they are back, also after a restart', () =>
  withRelay(async ({ world, url, ...relay }) => {
    const alice = await world.person('Alice', { relays: [url] })
    const bob = await world.person('Bob', { relays: [url] })
    const card = bob.card()
    const hers = await alice.replicas.create({ name: 'Plans', relays: [url] })
    await relay.stopRelay()
    await bob.stop()
    await alice.replicas.sendInvite(
      card,
      hers.share.invite({ role: 'editor', for: bob.identity.userId, at: Date.now() }),
    )
    await alice.crash()
    await alice.start()
    assert.equal(alice.replicas.outgoing, 1)
    await relay.startRelay()
    await bob.start()
    const his = await bob.replicas.join(await nextInvite(bob))
    await until(
      () => isMemberAt(replicaOf(alice, hers.share.id), bob) && his.share.role === 'editor',
      'Bob is in',
    )
    await until(() => alice.replicas.outgoing === 0, 'nothing is left to deliver')
  }))

test('the relay goes away and comes back: all heals, with edits made meanwhile', () =>
  withRelay(async ({ world, url, ...relay }) => {
    const alice = await world.person('Alice', { relays: [url] })
    const bob = await world.person('Bob', { relays: [url] })
    cutOff(world, alice, bob)
    const hers = await alice.replicas.create({ name: 'Plans', relays: [url] })
    const his = await bring(bob, alice, hers)
    await relay.stopRelay()
    await until(() => !online(hers) && !online(his) && hers.peers().length === 0, 'the relay is gone')
    const nodes = [note(hers), note(his)]
    await relay.startRelay()
    await until(() => agree(hers, his), 'they agree')
    assert.ok(nodes.every((node) => knows(hers, node) && knows(his, node)))
    const since = performance.now()
    await until(() => hers.peers().length === 1 && his.peers().length === 1, 'they see each other')
    assert.ok(performance.now() - since < 5000, 'without waiting for the next renewal')
  }))

test('a third member joins by link from the second while the first is offline', () =>
  withRelay(async ({ world, url }) => {
    const alice = await world.person('Alice', { relays: [url] })
    const bob = await world.person('Bob', { relays: [url] })
    const carol = await world.person('Carol')
    const hers = await alice.replicas.create({ name: 'Plans', relays: [url] })
    const his = await bring(bob, alice, hers)
    const node = note(hers)
    const payload: InvitePayload = hers.share.invite({ role: 'viewer', at: Date.now() })
    const { relay } = await alice.replicas.publishLink(payload)
    await until(() => agree(hers, his), 'Bob knows of the invite')
    await alice.stop()
    const third = await carol.replicas.join(await carol.replicas.openLink(createLink(relay, payload.seed)))
    await until(() => knows(third, node) && third.share.role === 'viewer', 'Carol is in')
    await until(() => isMemberAt(his, carol), 'Bob knows her')
  }))

test('a removed member is cut off at the relay, while the others go on', () =>
  withRelay(async ({ world, url }) => {
    const alice = await world.person('Alice', { relays: [url] })
    const bob = await world.person('Bob', { relays: [url] })
    const carol = await world.person('Carol', { relays: [url] })
    cutOff(world, alice, bob, carol)
    const hers = await alice.replicas.create({ name: 'Plans', relays: [url] })
    const his = await bring(bob, alice, hers)
    const others = await bring(carol, alice, hers)
    await until(() => online(his) && agree(hers, his, others), 'all are connected')
    hers.share.remove(bob.identity.userId, Date.now())
    await until(() => !online(his), 'Bob is thrown out')
    await until(() => online(hers) && online(others), 'the others come back with the new keys')
    const nodes = [note(hers), note(others)]
    await until(() => nodes.every((node) => knows(hers, node) && knows(others, node)), 'the others go on')
    assert.ok(nodes.every((node) => !knows(his, node)) && !online(his))
    await until(
      () => !hers.peers().some(({ user }) => user === bob.identity.userId),
      'Bob is not seen any more',
    )
  }))

test('a member who was away while keys changed finds the new ones at the relay', () =>
  withRelay(async ({ world, url }) => {
    const alice = await world.person('Alice', { relays: [url] })
    const bob = await world.person('Bob', { relays: [url] })
    const carol = await world.person('Carol')
    cutOff(world, alice, bob, carol)
    const hers = await alice.replicas.create({ name: 'Plans', relays: [url] })
    await bring(bob, alice, hers)
    const others = await joinByLink(carol, alice, hers, 'viewer')
    await until(() => others.share.role === 'viewer' && agree(hers, others), 'Carol is in')
    await carol.stop()
    hers.share.remove(bob.identity.userId, Date.now())
    const node = note(hers)
    await until(() => replicaOf(alice, hers.share.id).record.noticed.length > 0, 'the relay has the notice')
    await hers.persisted()
    await alice.stop()

    await carol.start()
    await until(
      () => knows(replicaOf(carol, hers.share.id), node),
      'Carol has what was written under the new keys',
    )
  }))

test('an older link still leads in after keys have changed', () =>
  withRelay(async ({ world, url }) => {
    const alice = await world.person('Alice', { relays: [url] })
    const bob = await world.person('Bob', { relays: [url] })
    const carol = await world.person('Carol')
    const dave = await world.person('Dave')
    cutOff(world, alice, bob, carol, dave)
    const hers = await alice.replicas.create({ name: 'Plans', relays: [url] })
    await bring(bob, alice, hers)
    const payload = hers.share.invite({ role: 'editor', at: Date.now() })
    const { relay } = await alice.replicas.publishLink(payload)
    hers.share.remove(bob.identity.userId, Date.now())
    const node = note(hers)
    await until(() => hers.record.noticed.length > 0 && online(hers), 'the relay serves the new epoch')
    const link = createLink(relay, payload.seed)
    for (const guest of [carol, dave]) {
      // Dave opened the page before the keys changed.
      const opened = guest === dave ? payload : await guest.replicas.openLink(link)
      const replica = await guest.replicas.join(opened)
      await until(() => knows(replica, node) && replica.share.role === 'editor', `${guest.name} is in`)
    }
  }))

test('over libp2p two people sync directly, and go on without the relay', () =>
  withRelay(async ({ world, url, ...relay }) => {
    const alice = await world.person('Alice', { relays: [url], libp2p: true })
    const bob = await world.person('Bob', { relays: [url], libp2p: true })
    const hers = await alice.replicas.create({ name: 'Plans', relays: [url] })
    const his = await bring(bob, alice, hers)
    await until(
      () => hers.peers()[0]?.via === 'direct' && his.peers()[0]?.via === 'direct',
      'they have a stream',
    )
    await relay.stopRelay()
    const nodes = [note(hers), note(his)]
    await until(() => nodes.every((node) => knows(hers, node) && knows(his, node)), 'both have all')
    await bob.stop()
    await until(() => hers.peers().length === 0, 'Alice sees that Bob is gone')
    const later = note(hers)
    await bob.start()
    await until(() => knows(replicaOf(bob, hers.share.id), later), 'Bob catches up without any relay')
  }))
