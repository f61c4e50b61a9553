import assert from 'node:assert/strict'
import { test } from 'node:test'
import { toBase64url } from '../bytes.ts'
import { encodeCbor } from '../encoding/cbor.ts'
import { ProtocolError } from '../errors.ts'
import { decodeCard, encodeCard, safetyCode, signCard, verifyCard } from './card.ts'
import { createIdentity, decodeIdentity, encodeIdentity, verifyDeviceCertificate } from './identity.ts'

const person = (name: string) => createIdentity({ name, deviceName: 'laptop', at: 1_700_000_000_000 })
const where = { relays: ['https://relay.example'], addresses: ['/ip4/192.0.2.1/tcp/4001'] }
const code = (wanted: string) => (error: unknown) => error instanceof ProtocolError && error.code === wanted

test('an identity comes back from its stored bytes', () => {
  const alice = person('Alice')
  const again = decodeIdentity(encodeIdentity(alice))
  assert.deepEqual(again, alice)
  assert.throws(() => decodeIdentity(new Uint8Array([1, 2, 3])), code('malformed'))
})

test('a device certificate holds for exactly what was signed', () => {
  const { certificate } = person('Alice')
  assert.deepEqual(verifyDeviceCertificate({ ...certificate }), certificate)
  const other = person('Mallory')
  assert.throws(() => verifyDeviceCertificate({ ...certificate, user: other.userId }), code('bad-signature'))
  assert.throws(
    () => verifyDeviceCertificate({ ...certificate, device: other.deviceId }),
    code('bad-signature'),
  )
  assert.throws(() => verifyDeviceCertificate({ ...certificate, name: 'desktop' }), code('bad-signature'))
  assert.throws(() => verifyDeviceCertificate({ ...certificate, name: 'a\nb' }), code('malformed'))
})

test('a card is read back, white space from an e-mail forgiven', () => {
  const alice = person('Älice 🎈')
  const text = encodeCard(alice, where)
  const card = decodeCard(`  ${text.slice(0, 40)}\n ${text.slice(40)}\n`)
  assert.equal(card.user, alice.userId)
  assert.equal(card.name, 'Älice 🎈')
  assert.deepEqual(card.devices, [{ id: alice.deviceId, addresses: where.addresses }])
  assert.ok(text.length < 900, `${text.length} characters are too many for a QR code`)
})

test('pasted rubbish and altered cards are refused with a word on what to do', () => {
  const text = encodeCard(person('Alice'), where)
  assert.throws(() => decodeCard('hello'), /begins with/)
  assert.throws(() => decodeCard(text.slice(0, -7)), ProtocolError)
  assert.throws(
    () => decodeCard(`${text.slice(0, 60)}${text[60] === 'A' ? 'B' : 'A'}${text.slice(61)}`),
    ProtocolError,
  )
  assert.throws(
    () =>
      decodeCard(
        `cofolder:card:${toBase64url(encodeCbor({ card: new Uint8Array(1), signature: new Uint8Array(64) }))}`,
      ),
    ProtocolError,
  )
  const bytes = signCard(person('Alice'), where)
  for (let index = 0; index < bytes.length; index++) {
    const altered = bytes.slice()
    altered[index] = (altered[index] ?? 0) ^ 0x10
    assert.throws(() => verifyCard(altered), ProtocolError, `byte ${index}`)
  }
})

test('both people see the same code, others another', () => {
  const [a, b, c] = [person('a').userId, person('b').userId, person('c').userId]
  assert.equal(safetyCode(a, b), safetyCode(b, a))
  assert.notEqual(safetyCode(a, b), safetyCode(a, c))
  assert.match(safetyCode(a, b), /^(\d{5} ){5}\d{5}$/)
})
