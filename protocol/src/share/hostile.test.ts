import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as Y from 'yjs'
import { crypto } from '#crypto'
import { toBase64url } from '../bytes.ts'
import { encodeCbor } from '../encoding/cbor.ts'
import { shortHash } from '../identity/derive.ts'
import { openChange, sealChange } from '../membership/change.ts'
import { batchKey, sealBatch } from '../records/batch.ts'
import type { ShareRecord } from '../records/record.ts'
import { openShare } from './open.ts'
import {
  addFile,
  close,
  connect,
  copyState,
  DAY,
  edit,
  household,
  newNode,
  ownerOf,
  paths,
  person,
  picture,
  place,
  type Replica,
  text,
  version,
} from './testing.ts'

const addressOf = (value: Uint8Array): string => toBase64url(shortHash(value))

/** A batch as a patched client writes it, past all checks, in the name of a device whose seed it has. */
function forge(
  { identity, share }: Replica,
  records: ShareRecord[],
  options: { seq?: number } = {},
): Uint8Array {
  const [epoch, keys] = [...share.keys.epochs].at(-1) ?? []
  assert.ok(epoch !== undefined && keys)
  const { value } = sealBatch(
    {
      ...{ share: share.id, device: identity.deviceId, seq: options.seq ?? 1000, at: DAY },
      ...{ heads: share.membership.heads, records },
    },
    { epoch, batchKey: batchKey(keys.key), deviceSeed: identity.device.seed },
  )
  return value
}

const putInto = (doc: Y.Doc, value: Uint8Array, key = addressOf(value)) =>
  doc.getMap('batches').set(key, value)

test("a viewer's records do not count, even when written straight into the document", () => {
  const { alice, bob, vera, all } = household()
  const before = alice.share.fingerprint
  const node = newNode()
  const value = forge(vera, [place(node, 'vandalism'), version(node, text('x'))])
  for (const { share } of all) putInto(share.doc, value)
  for (const replica of all) assert.deepEqual(paths(replica), [])
  assert.equal(bob.share.fingerprint, before)
  // One right record among them does not help.
  const device = vera.identity.deviceId
  const own: ShareRecord = { type: 'placement', device, where: 'local', label: '', mode: 'copy', at: DAY }
  putInto(bob.share.doc, forge(vera, [own, place(node, 'vandalism')]))
  // Nor does speaking of another's device.
  putInto(bob.share.doc, forge(vera, [{ ...own, device: bob.identity.deviceId }]))
  assert.equal(bob.share.placements.size, 0)
  assert.equal(bob.share.fingerprint, before)
  assert.throws(() => bob.share.submit(forge(vera, [place(node, 'asked')])), { code: 'forbidden' })
  close(all)
})

test('an outsider who got the keys of an epoch signs for nobody', () => {
  const { alice, all } = household()
  const before = alice.share.fingerprint
  const eve = person('Eve')
  const node = newNode()
  putInto(
    alice.share.doc,
    forge({ identity: eve, share: alice.share }, [place(node, 'x'), version(node, text(''))]),
  )
  // Somebody else's name on it, without his key.
  const posing = { ...eve, deviceId: alice.identity.deviceId }
  putInto(alice.share.doc, forge({ identity: posing, share: alice.share }, [place(node, 'x')]))
  assert.equal(alice.share.fingerprint, before)
  assert.deepEqual(paths(alice), [])
  close(all)
})

test('an editor may not change the settings, nor administer, whatever he writes', () => {
  const { alice, bob, all } = household()
  putInto(alice.share.doc, forge(bob, [{ type: 'settings', name: 'Mine', relays: [], at: DAY + 9 }]))
  assert.equal(alice.share.settings.name, 'Papers')
  const { root } = alice.share.keys
  const { heads } = alice.share.membership
  const seeds = [bob.identity.user.seed]
  const body = { kind: 'promote', share: alice.share.id, at: DAY, prev: [...heads], wraps: [] } as const
  const { value } = sealChange(
    root,
    { ...body, prev: [...heads], user: bob.identity.userId, wraps: [] },
    seeds,
  )
  assert.throws(() => openChange(root, alice.share.id, value), { code: 'bad-signature' })
  alice.share.doc.getMap('changes').set(addressOf(value), value)
  assert.deepEqual(alice.share.membership.heads, heads)
  close(all)
})

test('a change that was sealed a second time does not count again', () => {
  const { alice, vera, all } = household()
  const { id, keys } = alice.share
  const user = vera.identity.userId
  alice.share.setRole(user, 'editor', DAY)
  const promotion = [...alice.share.doc.getMap<unknown>('changes').values()]
    .filter((value) => value instanceof Uint8Array)
    .find((value) => openChange(keys.root, id, value).body.kind === 'promote')
  assert.ok(promotion)
  const body = openChange(keys.root, id, promotion).body
  alice.share.setRole(user, 'viewer', DAY)
  // The same signed bytes under another nonce would stand beside the demotion, as if they had not known of it.
  const key = crypto.hkdf(keys.root, 'cofolder membership', 32)
  const nonce = crypto.randomBytes(12)
  const plaintext = encodeCbor([encodeCbor(body), []])
  const sealed = crypto.aesGcmSeal(key, nonce, plaintext, new TextEncoder().encode(id))
  const value = encodeCbor([1, new Uint8Array([...nonce, ...sealed])])
  assert.throws(() => openChange(keys.root, id, value), { code: 'malformed' })
  alice.share.doc.getMap('changes').set(addressOf(value), value)
  assert.equal(alice.share.membership.members.get(user)?.role, 'viewer')
  close(all)
})

test('garbage in the document is passed over', () => {
  const { alice, bob, all } = household()
  const node = addFile(alice, 'a.txt', '1')
  connect(all)
  const before = picture(alice)
  const stranger = new Y.Doc()
  for (const name of ['changes', 'batches']) {
    const map = stranger.getMap(name)
    const bytes = crypto.randomBytes(40)
    map.set(addressOf(bytes), bytes)
    map.set('no hash', bytes)
    map.set('', new Uint8Array())
    map.set('text', 'text')
    map.set('null', null)
    map.set('object', { a: [1, { b: 2 }] })
    map.set('type', new Y.Array())
    map.set('doc', new Y.Doc())
    const huge = new Uint8Array(2 * 1024 * 1024)
    map.set(addressOf(huge), huge)
    for (const value of [
      [1],
      [1, 0, new Uint8Array(12), new Uint8Array(3)],
      [2, 0],
      {},
      [1, new Uint8Array(40)],
    ]) {
      map.set(addressOf(encodeCbor(value)), encodeCbor(value))
    }
  }
  const wrongTypes = new Y.Doc()
  wrongTypes.getArray('batches').push([1, new Uint8Array(3), new Y.Map()])
  wrongTypes.getText('changes').insert(0, 'text')
  for (const doc of [stranger, wrongTypes]) {
    copyState(doc, alice.share.doc)
    copyState(doc, bob.share.doc)
  }
  assert.deepEqual(picture(alice), before)
  edit(bob, node, '2', DAY + 1)
  connect(all)
  assert.equal(alice.share.tree().byNode.get(node)?.head.at, DAY + 1)
  const update = Y.encodeStateAsUpdate(alice.share.doc)
  const again = { identity: bob.identity, share: openShare(bob.identity, bob.share.keys, { update }) }
  assert.deepEqual(picture(again), picture(alice))
  close([...all, again])
})

test('what a hostile peer deletes or overwrites is put back, for all', () => {
  const { alice, bob, vera, all } = household()
  addFile(alice, 'a.txt', '1')
  addFile(bob, 'b.txt', '1')
  connect(all)
  const before = picture(alice)
  const hostile = new Y.Doc()
  copyState(alice.share.doc, hostile)
  const count = hostile.getMap('batches').size
  hostile.transact(() => {
    for (const name of ['changes', 'batches']) {
      const map = hostile.getMap(name)
      for (const [i, key] of [...map.keys()].entries()) {
        if (i % 2 === 0) map.delete(key)
        else map.set(key, crypto.randomBytes(10))
      }
    }
  })
  for (const { share } of all) copyState(hostile, share.doc)
  for (const replica of all) assert.deepEqual(picture(replica), before)
  connect(all)
  const fresh = openShare(vera.identity, vera.share.keys, { update: Y.encodeStateAsUpdate(alice.share.doc) })
  assert.deepEqual(picture({ identity: vera.identity, share: fresh }), before)
  assert.equal(bob.share.doc.getMap('batches').size, count)
  // Nobody goes on for ever.
  const state = Y.encodeStateVector(alice.share.doc)
  connect([alice, bob])
  assert.deepEqual(Y.encodeStateVector(alice.share.doc), state)
  fresh.close()
  close(all)
})

test('two batches with one number: on every replica the same one counts', () => {
  const { alice, bob, vera, all } = household()
  const [one, two] = [newNode(), newNode()]
  const first = forge(bob, [place(one, 'one'), version(one, text('1'))], { seq: 7 })
  const second = forge(bob, [place(two, 'two'), version(two, text('2'))], { seq: 7 })
  putInto(alice.share.doc, first)
  putInto(alice.share.doc, second)
  putInto(vera.share.doc, second)
  putInto(vera.share.doc, first)
  assert.deepEqual(picture(alice), picture(vera))
  assert.deepEqual(paths(alice), [addressOf(first) < addressOf(second) ? 'one' : 'two'])
  close(all)
})

test('a listener that throws does not keep the document from following', () => {
  const alice = ownerOf(person('Alice'))
  const stop = alice.share.onChange(() => {
    throw new Error('listener')
  })
  assert.throws(() => addFile(alice, 'a', ''), /listener/)
  stop()
  addFile(alice, 'b', '')
  assert.deepEqual(paths(alice), ['a', 'b'])
  close([alice])
})
