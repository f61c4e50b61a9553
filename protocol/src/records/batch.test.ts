import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { crypto } from '#crypto'
import { toBase64url } from '../bytes.ts'
import { decodeCbor, encodeCbor } from '../encoding/cbor.ts'
import { ProtocolError } from '../errors.ts'
import { shareIdOf } from '../identity/derive.ts'
import { createIdentity } from '../identity/identity.ts'
import type { ChangeId, NodeId, VersionId } from '../ids.ts'
import { MAX_BATCH_BYTES, MAX_BATCH_RECORDS } from '../limits.ts'
import { versionId } from '../versions/id.ts'
import { batchKey, openBatch, readSealedBatch, sealBatch, splitRecords } from './batch.ts'
import { packRecords, unpackRecords } from './columns.ts'
import { type Content, isShareName, type NodeKind, type ShareRecord } from './record.ts'

const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length })
const id = bytes(16)
  .filter((one) => one.some((byte) => byte !== 0))
  .map((one) => toBase64url(one) as NodeId)
const millis = fc.maxSafeInteger()
const size = fc.maxSafeNat()
const name = fc
  .string({ unit: 'grapheme', minLength: 1, maxLength: 40 })
  .map((text) => text.normalize('NFC'))
  .filter(isShareName)
const file = fc.record({
  kind: fc.constant('file' as const),
  size,
  mtime: millis,
  executable: fc.boolean(),
  sha256: bytes(32),
  segments: fc.array(fc.record({ size, sha256: bytes(32), infoHash: bytes(20) }), { maxLength: 3 }),
})
const content: fc.Arbitrary<Content> = fc.oneof(
  { weight: 4, arbitrary: file },
  fc.record({ kind: fc.constant('symlink' as const), target: fc.string({ minLength: 1, maxLength: 20 }) }),
  fc.constant({ kind: 'folder' as const }),
  fc.record({ kind: fc.constant('deleted' as const), place: millis }),
)
const versionRecord = fc
  .record({ node: id, parents: fc.array(id.map(String), { maxLength: 3 }), content, at: millis })
  .map(({ parents, ...rest }) => ({ ...rest, parents: parents.map((parent) => parent as VersionId) }))
  .map((one): ShareRecord => ({ type: 'version', id: versionId(one), ...one }))
const placeRecord = fc
  .record({
    node: id,
    kind: fc.constantFrom<NodeKind>('file', 'folder', 'symlink'),
    parent: id,
    name,
    at: millis,
  })
  .map((one): ShareRecord => ({ type: 'place', ...one }))
const settingsRecord = fc
  .record({ name, relays: fc.constant<string[]>(['https://r.example/']), at: millis })
  .map((one): ShareRecord => ({ type: 'settings', ...one }))
const record = fc.oneof(placeRecord, versionRecord, settingsRecord)

test('records come out of a batch as they went in, but for their order', () => {
  const { deviceId } = createIdentity({ name: 'A', deviceName: 'pc', at: 1 })
  const sorted = (list: readonly unknown[]) => list.map((one) => toBase64url(encodeCbor(one))).sort()
  fc.assert(
    fc.property(fc.array(record, { minLength: 1, maxLength: 20 }), (records) => {
      const packed = decodeCbor(encodeCbor(packRecords(records)), MAX_BATCH_BYTES)
      const authored = records.map((one) => ({ ...one, author: deviceId }))
      assert.deepEqual(sorted(unpackRecords(packed, deviceId)), sorted(authored))
    }),
    { numRuns: 200 },
  )
})

test('what is not a list of records is refused', () => {
  const { deviceId } = createIdentity({ name: 'A', deviceName: 'pc', at: 1 })
  const none = new Uint8Array()
  const sixteen = new Uint8Array(16).fill(1)
  const empty = [[none, none, none, [], []], [none, none, none, [], [], []], []]
  const withPlace = (...place: unknown[]) => [place, empty[1], []]
  for (const packed of [
    ...[undefined, 1, [], {}, empty, [...empty, []]],
    withPlace(sixteen, none, new Uint8Array(1), ['a'], [1]),
    withPlace(sixteen, sixteen, new Uint8Array([3]), ['a'], [1]),
    withPlace(sixteen, sixteen, new Uint8Array(1), ['a/b'], [1]),
    withPlace(sixteen, sixteen, new Uint8Array(1), ['a'], [1.5]),
    withPlace(new Uint8Array(16), sixteen, new Uint8Array(1), ['a'], [1]),
    [empty[0], [sixteen, new Uint8Array(32), new Uint8Array([2]), [1], [1], [1]], []],
    [empty[0], [sixteen, new Uint8Array(32), new Uint8Array(1), [-1], [1], [1]], []],
    [empty[0], empty[1], [[2, 'short', [], [3], 1]]],
    [empty[0], empty[1], [[2, toBase64url(sixteen), [], [3], 1, 'more']]],
    [empty[0], empty[1], [[9]]],
    [empty[0], empty[1], Array.from({ length: MAX_BATCH_RECORDS + 1 }, () => [3, 'n', [], 1])],
  ]) {
    assert.throws(() => unpackRecords(packed, deviceId), ProtocolError)
  }
})

test('a batch opens with its key only, in its share only, and unaltered only', () => {
  const { deviceId, device } = createIdentity({ name: 'A', deviceName: 'pc', at: 1 })
  const share = shareIdOf(crypto.randomBytes(32))
  const key = batchKey(crypto.randomBytes(32))
  const heads = [toBase64url(crypto.randomBytes(16)) as ChangeId]
  const settings: ShareRecord = { type: 'settings', name: 'n', relays: [], at: 1 }
  const content = { share, device: deviceId, seq: 3, at: 5, heads, records: [settings] }
  const { batch, value } = sealBatch(content, { epoch: 2, batchKey: key, deviceSeed: device.seed })
  assert.deepEqual(openBatch(share, readSealedBatch(value), key), batch)
  assert.equal(openBatch(share, readSealedBatch(value), crypto.randomBytes(32)), undefined)
  assert.equal(openBatch(shareIdOf(crypto.randomBytes(32)), readSealedBatch(value), key), undefined)
  assert.equal(openBatch(share, { ...readSealedBatch(value), epoch: 3 }, key), undefined)
  fc.assert(
    fc.property(fc.nat({ max: value.length - 1 }), fc.integer({ min: 1, max: 255 }), (at, flip) => {
      const altered = value.slice()
      altered[at] = (altered[at] ?? 0) ^ flip
      try {
        assert.equal(openBatch(share, readSealedBatch(altered), key), undefined)
      } catch (error) {
        assert.ok(error instanceof ProtocolError)
      }
    }),
  )
  const posing = sealBatch(content, { epoch: 2, batchKey: key, deviceSeed: crypto.randomBytes(32) })
  assert.throws(() => openBatch(share, readSealedBatch(posing.value), key), { code: 'bad-signature' })
})

test('records that are large go into more batches', () => {
  const node = toBase64url(crypto.randomBytes(16)) as NodeId
  const segment = { size: 1, sha256: new Uint8Array(32), infoHash: new Uint8Array(20) }
  const large: Content = {
    ...{ kind: 'file', size: 1, mtime: 1, executable: false, sha256: new Uint8Array(32) },
    segments: Array.from({ length: 1024 }, () => segment),
  }
  const one = { node, parents: [], content: large }
  const records: ShareRecord[] = Array.from({ length: 100 }, (_, at) => ({
    ...{ type: 'version', id: versionId(one), ...one, at },
  }))
  const lists = splitRecords(records)
  assert.deepEqual(lists.flat(), records)
  assert.ok(lists.length > 5)
  for (const list of lists) assert.ok(encodeCbor(packRecords(list)).length < MAX_BATCH_BYTES - 2000)
})
