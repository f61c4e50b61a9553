import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import * as encoding from 'lib0/encoding'
import * as Y from 'yjs'
import { toBase64url } from '../bytes.ts'
import { ProtocolError } from '../errors.ts'
import { shortHash } from '../identity/derive.ts'
import { MAX_CHANGE_BYTES } from '../limits.ts'
import { admissibleUpdate, checkUpdate } from './update.ts'

const keyOf = (value: Uint8Array): string => toBase64url(shortHash(value))
const put = (doc: Y.Doc, value: Uint8Array, map = 'batches'): void => {
  if (!doc.getMap(map).has(keyOf(value))) doc.getMap(map).set(keyOf(value), value)
}
const entries = (doc: Y.Doc, map = 'batches'): string[] => [...doc.getMap(map).keys()].sort()
const take = (doc: Y.Doc, update: Uint8Array): void => Y.applyUpdate(doc, admissibleUpdate(update))
const docOf = (...values: Uint8Array[]): Y.Doc => {
  const doc = new Y.Doc()
  for (const value of values) put(doc, value)
  return doc
}
const [ONE, TWO, THREE] = [Uint8Array.of(1), Uint8Array.of(2), Uint8Array.of(3)] as const

test('an update of entries comes in as it is', () => {
  const doc = docOf(ONE, TWO)
  put(doc, THREE, 'changes')
  const update = Y.encodeStateAsUpdate(doc)
  assert.equal(admissibleUpdate(update), update)
})

test('one value that two devices add at once is one entry, wherever they meet', () => {
  const [a, b, c] = [docOf(ONE), docOf(ONE), new Y.Doc()]
  take(a, Y.encodeStateAsUpdate(b))
  take(b, Y.encodeStateAsUpdate(a))
  take(c, Y.encodeStateAsUpdate(a))
  for (const doc of [a, b, c]) assert.deepEqual(entries(doc), [keyOf(ONE)])
})

test('nothing is overwritten, deleted, or put where it does not belong', () => {
  const attacks: ((doc: Y.Doc) => void)[] = [
    (doc) => doc.getMap('batches').set(keyOf(ONE), THREE),
    (doc) => doc.getMap('batches').delete(keyOf(ONE)),
    (doc) => doc.getMap('batches').clear(),
    (doc) => doc.getMap('batches').set('__proto__', THREE),
    (doc) => doc.getMap('batches').set(keyOf(THREE), 'text'),
    (doc) => doc.getMap('other').set(keyOf(THREE), THREE),
    (doc) => doc.getMap('batches').set('nested', new Y.Map([[keyOf(THREE), THREE]])),
    (doc) => put(doc, new Uint8Array(MAX_CHANGE_BYTES + 1), 'changes'),
  ]
  for (const attack of attacks) {
    const doc = docOf(ONE, TWO)
    const hostile = new Y.Doc()
    take(hostile, Y.encodeStateAsUpdate(doc))
    attack(hostile)
    take(doc, Y.encodeStateAsUpdate(hostile))
    assert.deepEqual(doc.getMap('batches').toJSON(), { [keyOf(ONE)]: ONE, [keyOf(TWO)]: TWO })
    assert.equal(doc.getMap('changes').size, 0)
    assert.equal(doc.share.has('other'), false)
  }
})

test('entries that a writer adds after his junk count', () => {
  const writer = new Y.Doc()
  writer.getText('x').insert(0, 'junk')
  put(writer, ONE)
  writer.getArray('y').insert(0, [1, { a: [2] }, new Y.Map()])
  put(writer, TWO)
  const doc = new Y.Doc()
  take(doc, Y.encodeStateAsUpdate(writer))
  assert.deepEqual(entries(doc), [keyOf(ONE), keyOf(TWO)].sort())
  assert.equal(Y.encodeStateVector(doc).join(), Y.encodeStateVector(writer).join())
})

test('what somebody is yet to write cannot be deleted in advance', () => {
  const alice = docOf(ONE)
  const deletion = encoding.createEncoder()
  for (const n of [0, 1, alice.clientID, 1, 0, 2 ** 40]) encoding.writeVarUint(deletion, n)
  const bob = new Y.Doc()
  take(bob, encoding.toUint8Array(deletion))
  put(alice, TWO)
  take(bob, Y.encodeStateAsUpdate(alice))
  assert.deepEqual(entries(bob), entries(alice))
})

test('a clock that goes too far ends its client, not the others', () => {
  const update = encoding.createEncoder()
  encoding.writeVarUint(update, 1)
  for (const n of [2, 7, 0]) encoding.writeVarUint(update, n)
  for (const length of [2 ** 52, 2 ** 52]) {
    encoding.writeUint8(update, 0)
    encoding.writeVarUint(update, length)
  }
  encoding.writeVarUint(update, 0)
  const hostile = encoding.toUint8Array(update)
  const doc = docOf(ONE)
  take(doc, hostile)
  take(doc, Y.mergeUpdates([Y.encodeStateAsUpdate(docOf(TWO)), hostile]))
  assert.deepEqual(entries(doc), [keyOf(ONE), keyOf(TWO)].sort())
  Y.decodeStateVector(Y.encodeStateVector(doc))
})

test('what is no update is refused', () => {
  const update = Y.encodeStateAsUpdate(docOf(ONE))
  const twice = Uint8Array.of(2, ...update.subarray(1, -1), ...update.subarray(1))
  for (const bytes of [
    new Uint8Array(),
    Uint8Array.of(1),
    update.subarray(0, -1),
    Uint8Array.of(1, 1, 1, 0, 2),
  ]) {
    assert.throws(() => checkUpdate(bytes), ProtocolError)
    assert.throws(() => admissibleUpdate(bytes), ProtocolError)
  }
  checkUpdate(twice)
})

// Any struct that the format can express, at any clock, pointing anywhere: in the past, the future, or another client.
const CLIENTS = [1, 2, 5, 9]
const VICTIM = 5
const clock = fc.oneof({ weight: 12, arbitrary: fc.nat(7) }, fc.constantFrom(2 ** 31, 2 ** 48 - 1, 2 ** 52))
const client = fc.constantFrom(...CLIENTS)
const key = fc.oneof(
  fc.nat(5).map((n) => keyOf(Uint8Array.of(n))),
  fc.constantFrom('zz', '__proto__', ''),
)
const struct = fc.record({
  kind: fc.constantFrom(0, 1, 1, 3, 3, 3, 4, 5, 6, 7, 8, 9, 10),
  length: clock,
  origin: fc.option(fc.tuple(client, clock)),
  rightOrigin: fc.option(fc.tuple(client, clock), { freq: 2 }),
  parent: fc.oneof(fc.constantFrom('changes', 'batches', 'x'), fc.tuple(client, clock)),
  key: fc.option(key),
  value: fc.nat(5),
})
type StructPlan = typeof struct extends fc.Arbitrary<infer Plan> ? Plan : never
const updatePlan = fc.record({
  clients: fc.uniqueArray(client, { minLength: 1 }),
  first: fc.oneof({ weight: 3, arbitrary: fc.constant(0) }, clock),
  structs: fc.array(struct, { minLength: 1, maxLength: 5 }),
  deletes: fc.array(fc.tuple(client, clock, clock), { maxLength: 3 }),
})

function writeStruct(out: encoding.Encoder, plan: StructPlan): void {
  const writeId = ([owner, at]: readonly [number, number]): void => {
    encoding.writeVarUint(out, owner)
    encoding.writeVarUint(out, at)
  }
  const { kind, origin, rightOrigin } = plan
  const plain = kind === 0 || kind === 10
  const bits = (origin ? 0x80 : 0) | (rightOrigin ? 0x40 : 0) | (plan.key === null ? 0 : 0x20)
  encoding.writeUint8(out, plain ? kind : kind | bits)
  if (plain) {
    encoding.writeVarUint(out, plan.length)
    return
  }
  if (origin) writeId(origin)
  if (rightOrigin) writeId(rightOrigin)
  if (!origin && !rightOrigin) {
    encoding.writeVarUint(out, typeof plan.parent === 'string' ? 1 : 0)
    if (typeof plan.parent === 'string') encoding.writeVarString(out, plan.parent)
    else writeId(plan.parent)
    if (plan.key !== null) encoding.writeVarString(out, plan.key)
  }
  writeContent(out, plan)
}

function writeContent(out: encoding.Encoder, { kind, length, value }: StructPlan): void {
  if (kind === 1) encoding.writeVarUint(out, length)
  else if (kind === 3) encoding.writeVarUint8Array(out, Uint8Array.of(value))
  else if (kind === 4) encoding.writeVarString(out, 'x'.repeat(value))
  else if (kind === 5) encoding.writeVarString(out, '{}')
  else if (kind === 6) for (const text of ['bold', 'true']) encoding.writeVarString(out, text)
  else if (kind === 7) encoding.writeVarUint(out, 1)
  else if (kind === 8) {
    encoding.writeVarUint(out, 1)
    encoding.writeAny(out, { a: [value] })
  } else if (kind === 9) {
    encoding.writeVarString(out, 'guid')
    encoding.writeAny(out, {})
  }
}

function encodePlan({
  clients,
  first,
  structs,
  deletes,
}: typeof updatePlan extends fc.Arbitrary<infer P> ? P : never) {
  const out = encoding.createEncoder()
  encoding.writeVarUint(out, clients.length)
  for (const owner of clients.toSorted((a, b) => b - a)) {
    for (const n of [structs.length, owner, first]) encoding.writeVarUint(out, n)
    for (const plan of structs) writeStruct(out, plan)
  }
  encoding.writeVarUint(out, deletes.length)
  for (const [owner, at, length] of deletes)
    for (const n of [owner, 1, at, length]) encoding.writeVarUint(out, n)
  return encoding.toUint8Array(out)
}

test('whatever updates come in, the document holds what was written into it and nothing throws', (t) => {
  t.mock.method(console, 'log', () => {}) // Yjs says so when its client id is used by somebody else.
  let admitted = 0
  fc.assert(
    fc.property(fc.array(updatePlan, { minLength: 1, maxLength: 6 }), (plans) => {
      const doc = new Y.Doc()
      doc.clientID = VICTIM
      const written: string[] = []
      for (const [i, plan] of plans.entries()) {
        const hostile = encodePlan(plan)
        try {
          checkUpdate(hostile)
        } catch (error) {
          assert.ok(error instanceof ProtocolError)
          assert.throws(() => admissibleUpdate(hostile), ProtocolError)
          continue
        }
        take(doc, hostile)
        admitted++
        put(doc, Uint8Array.of(i))
        written.push(keyOf(Uint8Array.of(i)))
      }
      const copy = new Y.Doc()
      take(copy, Y.encodeStateAsUpdate(doc))
      Y.decodeStateVector(Y.encodeStateVector(doc))
      for (const key of written) {
        assert.ok(doc.getMap('batches').has(key))
        assert.ok(copy.getMap('batches').has(key))
      }
      for (const map of ['changes', 'batches']) {
        for (const [key, value] of doc.getMap(map))
          assert.ok(value instanceof Uint8Array && keyOf(value) === key)
      }
    }),
    { numRuns: 600 },
  )
  assert.ok(admitted > 500, `only ${admitted} updates could be read`)
})
