import assert from 'node:assert/strict'
import { test } from 'node:test'
import { decodeAs, encodeCbor, parse } from '../encoding/cbor.ts'
import { ProtocolError } from '../errors.ts'
import { createIdentity } from '../identity/identity.ts'
import { MAX_CHANGE_BYTES } from '../limits.ts'
import { RelayErrorSchema, RelayInfoSchema, StoredMessagesSchema, TorrentsSchema } from './relay.ts'

const info = {
  id: createIdentity({ name: 'r', deviceName: 'r', at: 1 }).deviceId,
  peerId: '12D3KooW',
  libp2p: ['/ip4/192.0.2.1/tcp/4001'],
  tracker: { http: 'https://relay.example/announce', udp: '', ws: '' },
  limits: { messageBytes: 1 },
}

test('what a relay says of itself is bounded', () => {
  assert.deepEqual(parse(RelayInfoSchema, info), info)
  for (const wrong of [
    { ...info, id: 'x' },
    { ...info, libp2p: ['http://x'] },
    { ...info, tracker: { ...info.tracker, http: 'x'.repeat(301) } },
    { ...info, limits: { a: 'many' } },
    { ...info, limits: Object.fromEntries(Array.from({ length: 65 }, (_, i) => [`l${i}`, i])) },
  ]) {
    assert.throws(() => parse(RelayInfoSchema, wrong), ProtocolError)
  }
})

test('a refusal is shown to people, so it is short', () => {
  const refusal = { error: { code: 'full', message: 'no room' } }
  assert.deepEqual(parse(RelayErrorSchema, refusal), refusal)
  const long = { error: { code: 'full', message: 'x'.repeat(1001) } }
  assert.throws(() => parse(RelayErrorSchema, long), ProtocolError)
})

test('stored messages and torrents are lists of bounded things', () => {
  const stored = [{ id: 'a', bytes: new Uint8Array(3) }]
  assert.deepEqual(decodeAs(StoredMessagesSchema, encodeCbor(stored), 100), stored)
  const large = encodeCbor([{ id: 'a', bytes: new Uint8Array(MAX_CHANGE_BYTES + 1) }])
  assert.throws(() => decodeAs(StoredMessagesSchema, large, large.length), ProtocolError)
  const hash = 'a'.repeat(40)
  assert.deepEqual(parse(TorrentsSchema, { infoHashes: [hash] }), { infoHashes: [hash] })
  for (const infoHashes of [[hash.toUpperCase()], [`${hash}a`], Array.from({ length: 1001 }, () => hash)]) {
    assert.throws(() => parse(TorrentsSchema, { infoHashes }), ProtocolError)
  }
})
