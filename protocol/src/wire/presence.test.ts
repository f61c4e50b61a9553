import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { utf8 } from '../bytes.ts'
import { sealWith } from '../crypto/box.ts'
import { crypto } from '../crypto/index.ts'
import { encodeCbor } from '../encoding/cbor.ts'
import { ProtocolError } from '../errors.ts'
import { shareIdOf } from '../identity/derive.ts'
import { createIdentity } from '../identity/identity.ts'
import { openPresence, type Presence, sealPresence } from './presence.ts'

const key = crypto.randomBytes(32)
const share = shareIdOf(crypto.randomBytes(32))
const { deviceId: device } = createIdentity({ name: 'a', deviceName: 'a', at: 1 })
const word = fc.string({ maxLength: 32, unit: 'grapheme-ascii' })
const code = (wanted: string) => (error: unknown) => error instanceof ProtocolError && error.code === wanted

test('presence comes back as it was said', () => {
  fc.assert(
    fc.property(
      fc.record(
        {
          addresses: fc.array(
            fc.string({ maxLength: 100 }).map((text) => `/${text}`),
            { maxLength: 8 },
          ),
          fingerprint: word,
          pending: fc.nat(),
          settle: fc.option(
            fc.record({ ask: word, done: fc.array(word, { maxLength: 64 }) }, { noNullPrototype: true }),
            { nil: undefined },
          ),
        },
        { noNullPrototype: true },
      ),
      ({ settle, ...said }) => {
        const presence: Presence = settle ? { device, ...said, settle } : { device, ...said }
        assert.deepEqual(openPresence(key, share, sealPresence(key, share, presence)), presence)
      },
    ),
    { numRuns: 100 },
  )
})

test('presence opens under its epoch and in its share alone', () => {
  const sealed = sealPresence(key, share, { device, addresses: [], fingerprint: '', pending: 0 })
  assert.throws(() => openPresence(crypto.randomBytes(32), share, sealed), code('wrong-key'))
  assert.throws(() => openPresence(key, shareIdOf(crypto.randomBytes(32)), sealed), code('wrong-key'))
})

test('what a member seals is still checked', () => {
  const said = { device, addresses: [], fingerprint: '', pending: 0 }
  for (const value of [
    null,
    { ...said, device: 'me' },
    { ...said, pending: -1 },
    { ...said, addresses: ['http://x'] },
    { ...said, addresses: Array.from({ length: 33 }, () => '/ip4/1.2.3.4') },
    { ...said, settle: { done: [1] } },
  ]) {
    const sealed = sealWith(key, encodeCbor(value), utf8(share), 'cofolder presence')
    assert.throws(() => openPresence(key, share, sealed), code('malformed'))
  }
  for (const value of [undefined, null, 'text', 1, {}]) {
    assert.throws(() => openPresence(key, share, value), code('malformed'))
  }
  assert.throws(() => openPresence(key, share, new Uint8Array(9000)), code('too-large'))
})
