import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as Y from 'yjs'
import { type NodeId, ROOT_NODE } from '../ids.ts'
import { MAX_BATCH_RECORDS } from '../limits.ts'
import { decodeShareKeys, encodeShareKeys } from './keys.ts'
import { joinShare, openShare } from './open.ts'
import {
  addFile,
  addFolder,
  close,
  connect,
  DAY,
  deliver,
  deviceOf,
  edit,
  household,
  invited,
  ownerOf,
  paths,
  person,
  picture,
  place,
  type Replica,
  text,
  version,
} from './testing.ts'

test('what one writes the others see, with its author', () => {
  const { alice, bob, vera, all } = household()
  const folder = addFolder(alice, 'Letters')
  const letter = addFile(bob, 'hello.txt', 'hi', { parent: folder })
  connect(all)
  for (const replica of all) {
    // Bob knew of the folder only after the first exchange, so his file came in by its id.
    assert.deepEqual(paths(replica), ['Letters', 'Letters/hello.txt'])
    const entry = replica.share.tree().byPath.get('Letters/hello.txt')
    assert.equal(entry?.node, letter)
    assert.equal(replica.share.userOf(entry?.head.author ?? alice.identity.deviceId), bob.identity.userId)
    assert.deepEqual(picture(replica), picture(alice))
  }
  assert.equal(vera.share.settings.name, 'Papers')
  close(all)
})

test('a share opens again from its persisted state and keys', () => {
  const { alice, bob, all } = household()
  const node = addFile(alice, 'a.txt', '1')
  edit(alice, node, '2', DAY + 1)
  connect(all)
  const keys = decodeShareKeys(encodeShareKeys(bob.share.keys))
  assert.deepEqual(keys, bob.share.keys)
  const again = openShare(bob.identity, keys, { update: Y.encodeStateAsUpdate(bob.share.doc) })
  assert.deepEqual(picture({ identity: bob.identity, share: again }), picture(alice))
  assert.equal(again.role, 'editor')
  assert.deepEqual(
    again.history(node).map(({ content }) => content),
    [text('1'), text('2', DAY + 1)],
  )
  assert.throws(() => openShare(bob.identity, keys, { update: new Uint8Array([1, 2, 3]) }), {
    code: 'malformed',
  })
  again.close()
  close(all)
})

test('the tree is the same object until something changes, and old ones stay as they were', () => {
  const alice = ownerOf(person('Alice'))
  const node = addFile(alice, 'a.txt', '1')
  const before = alice.share.tree()
  assert.equal(alice.share.tree(), before)
  const entry = before.byNode.get(node)
  edit(alice, node, '2', DAY + 1)
  addFile(alice, 'b.txt', '1')
  assert.notEqual(alice.share.tree(), before)
  assert.equal(before.byNode.get(node), entry)
  assert.deepEqual([...before.byPath.keys()], ['a.txt'])
  close([alice])
})

test('many records become few batches, and one change', () => {
  const alice = ownerOf(person('Alice'))
  const changes: number[] = []
  alice.share.onChange(({ batches, local }) => changes.push(local ? batches.length : -1))
  const updates: number[] = []
  alice.share.doc.on('update', (update: Uint8Array) => updates.push(update.length))
  const records = Array.from({ length: MAX_BATCH_RECORDS + 1 }, (_, i) => {
    const node = `${alice.share.id.slice(0, 15)}${String(i).padStart(6, '0')}A` as NodeId
    return [place(node, `file ${i}`), version(node, text(String(i)))]
  }).flat()
  alice.share.write(records)
  assert.deepEqual(changes, [3])
  assert.equal(updates.length, 1)
  assert.equal(alice.share.tree().byPath.size, MAX_BATCH_RECORDS + 1)
  close([alice])
})

test('what others would not accept is not written', () => {
  const alice = ownerOf(person('Alice'))
  const before = alice.share.fingerprint
  const node = ROOT_NODE
  const other = addFile(alice, 'ok', '')
  const after = alice.share.fingerprint
  assert.notEqual(before, after)
  assert.throws(() => alice.share.write([place(other, 'a/b')]), { code: 'malformed' })
  assert.throws(() => alice.share.write([place(node, 'root')]), { code: 'malformed' })
  const wrongId = { ...version(other, text('x')), id: version(other, text('y')).id }
  assert.throws(() => alice.share.write([place(other, 'fine'), wrongId]), { code: 'malformed' })
  assert.equal(alice.share.fingerprint, after)
  close([alice])
})

test('a viewer writes nothing but where he keeps the share, and that through somebody else', () => {
  const { alice, vera, all } = household()
  assert.throws(() => vera.share.write([place(ROOT_NODE, 'x')]), { code: 'forbidden' })
  vera.share.write([
    {
      type: 'placement',
      device: vera.identity.deviceId,
      where: 'local',
      label: 'disk',
      mode: 'copy',
      at: DAY,
    },
  ])
  assert.equal(vera.share.outbox.length, 1)
  assert.equal(alice.share.placements.size, 0)
  connect(all)
  assert.equal(vera.share.outbox.length, 0)
  assert.equal(alice.share.placements.get(vera.identity.deviceId)?.label, 'disk')
  assert.deepEqual(picture(vera), picture(alice))
  close(all)
})

test('only the owner administers', () => {
  const { bob, vera, all } = household()
  for (const { share } of [bob, vera]) {
    assert.throws(() => share.invite({ role: 'editor', at: DAY }), { code: 'forbidden' })
    assert.throws(() => share.remove(vera.identity.userId, DAY), { code: 'forbidden' })
    assert.throws(() => share.setRole(vera.identity.userId, 'editor', DAY), { code: 'forbidden' })
    assert.throws(() => share.rotate(DAY), { code: 'forbidden' })
    assert.throws(() => share.write([{ type: 'settings', name: 'Mine', relays: [], at: DAY + 5 }]), {
      code: 'forbidden',
    })
  }
  close(all)
})

test('an invite holds for the one it is for, until it expires or is revoked', () => {
  const alice = ownerOf(person('Alice'))
  const [bob, eve] = [person('Bob'), person('Eve')]
  const payload = alice.share.invite({ role: 'editor', for: bob.userId, expires: DAY + 10, at: DAY })
  const join = (identity: typeof bob, at: number): Replica => ({
    identity,
    share: joinShare(identity, payload, { at }),
  })
  const [wrong, late, right] = [join(eve, DAY), join(bob, DAY + 11), join(bob, DAY + 10)]
  assert.equal(right.share.settings.name, 'Papers')
  assert.equal(right.share.role, undefined)
  for (const replica of [wrong, late]) deliver(replica, alice)
  assert.deepEqual([...alice.share.membership.members.keys()], [alice.identity.userId])
  deliver(right, alice)
  deliver(alice, right)
  assert.equal(right.share.role, 'editor')

  const link = alice.share.invite({ role: 'viewer', at: DAY })
  const [invite] = [...alice.share.membership.invites.values()].filter(({ role }) => role === 'viewer')
  assert.ok(invite)
  alice.share.revokeInvite(invite.id, DAY)
  const guest = { identity: eve, share: joinShare(eve, link, { at: DAY }) }
  deliver(guest, alice)
  assert.equal(alice.share.membership.members.has(eve.userId), false)
  // Whoever holds the revoked link can not read what is written from now on.
  addFile(alice, 'later.txt', '')
  deliver(alice, guest)
  assert.deepEqual(paths(guest), [])
  close([alice, wrong, late, right, guest])
})

test('a removed member reads nothing more and cannot come back by his link', () => {
  const alice = ownerOf(person('Alice'))
  const link = alice.share.invite({ role: 'editor', at: DAY })
  const bob = person('Bob')
  const joined: Replica = { identity: bob, share: joinShare(bob, link, { at: DAY }) }
  connect([alice, joined])
  assert.equal(joined.share.role, 'editor')
  addFile(joined, 'before.txt', '')
  connect([alice, joined])
  const late = addFile(joined, 'too-late.txt', '')
  alice.share.remove(joined.identity.userId, DAY)
  addFile(alice, 'secret.txt', '')
  deliver(alice, joined)
  // Even if his updates reach somebody.
  Y.applyUpdate(alice.share.doc, Y.encodeStateAsUpdate(joined.share.doc))
  assert.equal(joined.share.role, undefined)
  assert.deepEqual(paths(alice), ['before.txt', 'secret.txt'])
  assert.deepEqual(paths(joined), ['before.txt'])
  assert.equal(alice.share.tree().byNode.has(late), false)
  assert.equal(alice.share.membership.invites.size, 0)
  const again: Replica = { identity: joined.identity, share: joinShare(joined.identity, link, { at: DAY }) }
  deliver(again, alice)
  assert.equal(alice.share.membership.members.get(joined.identity.userId)?.status, 'removed')
  // With an invite that the owner made since, he may.
  const back = invited(alice, joined.identity, 'viewer')
  connect([alice, back])
  assert.equal(back.share.role, 'viewer')
  assert.deepEqual(paths(back), ['before.txt', 'secret.txt'])
  close([alice, joined, again, back])
})

test('roles change, and with them what counts', () => {
  const { alice, bob, vera, all } = household()
  alice.share.setRole(vera.identity.userId, 'editor', DAY)
  alice.share.setRole(bob.identity.userId, 'viewer', DAY)
  const offline = addFile(bob, 'unseen.txt', '')
  connect(all)
  assert.equal(vera.share.role, 'editor')
  assert.equal(bob.share.role, 'viewer')
  addFile(vera, 'from vera', '')
  connect(all)
  for (const replica of all) assert.deepEqual(paths(replica), ['from vera'])
  assert.equal(bob.share.tree().byNode.has(offline), false)
  assert.ok(vera.share.keys.epochs.get(vera.share.membership.epoch)?.writeSeed)
  assert.equal(bob.share.keys.epochs.get(bob.share.membership.epoch)?.writeSeed, undefined)
  close(all)
})

test('after somebody left, the owner is asked for a new epoch', () => {
  const { alice, bob, vera, all } = household()
  for (const member of [bob, vera]) {
    const signed = member.share.leave(DAY)
    assert.ok(signed.length > 0)
  }
  connect(all)
  assert.equal(alice.share.membership.rotationDue, true)
  alice.share.rotate(DAY)
  assert.equal(alice.share.membership.rotationDue, false)
  assert.deepEqual(
    [...alice.share.membership.members.values()].map(({ status }) => status),
    ['active', 'left', 'left'],
  )
  addFile(alice, 'alone', '')
  copy(alice, bob)
  assert.deepEqual(paths(bob), [])
  close(all)

  function copy(from: Replica, to: Replica) {
    Y.applyUpdate(to.share.doc, Y.encodeStateAsUpdate(from.share.doc))
  }
})

test('a second device of a member', () => {
  const { alice, bob, all } = household()
  const phone: Replica = (() => {
    const identity = deviceOf(bob.identity)
    const update = Y.encodeStateAsUpdate(bob.share.doc)
    return { identity, share: openShare(identity, bob.share.keys, { update }) }
  })()
  assert.equal(phone.share.role, undefined)
  phone.share.addDevice(DAY)
  assert.equal(phone.share.role, 'editor')
  addFile(phone, 'from the phone', '')
  connect([...all, phone])
  assert.deepEqual(paths(alice), ['from the phone'])
  assert.equal(alice.share.userOf(phone.identity.deviceId), bob.identity.userId)
  alice.share.rotate(DAY)
  addFile(alice, 'new epoch', '')
  connect([...all, phone])
  assert.deepEqual(paths(phone), ['from the phone', 'new epoch'])
  close([...all, phone])
})

test('a write lost in a crash after others had it does not take the next one with it', () => {
  const { alice, bob, all } = household()
  const update = Y.encodeStateAsUpdate(bob.share.doc)
  addFile(bob, 'first', '')
  deliver(bob, alice)
  // Bob's machine forgets the write, and uses its number again.
  const again: Replica = {
    identity: bob.identity,
    share: openShare(bob.identity, bob.share.keys, { update }),
  }
  addFile(again, 'second', '')
  connect([alice, again])
  for (const replica of [alice, again]) assert.deepEqual(paths(replica), ['first', 'second'])
  assert.deepEqual(picture(again), picture(alice))
  close([...all, again])
})
