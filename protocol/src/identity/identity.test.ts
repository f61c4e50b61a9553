import assert from 'node:assert/strict'
import { test } from 'node:test'
import { concatBytes, toBase64url, utf8 } from '../bytes.ts'
import { crypto } from '../crypto/index.ts'
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

test('a card takes as many relays and addresses as it holds, the most wanted first', () => {
  const relays = Array.from({ length: 9 }, (_, i) => `https://relay-${i}.example`)
  const addresses = Array.from({ length: 30 }, (_, i) => `/ip4/192.0.2.${i}/tcp/4001/${'x'.repeat(200)}`)
  const card = verifyCard(signCard(person('Alice'), { relays, addresses }))
  assert.deepEqual(card.relays, relays.slice(0, 4))
  const [device] = card.devices
  assert.ok(device && device.addresses.length > 0)
  assert.deepEqual(device.addresses, addresses.slice(0, device.addresses.length))
  const long = Array.from({ length: 4 }, (_, i) => `https://${i}.example/${'x'.repeat(270)}`)
  assert.equal(verifyCard(signCard(person('Alice'), { relays: long, addresses })).relays.length, 4)
})

test('a card that nobody would take is not made', () => {
  const relays = ['https://user:secret@relay.example']
  assert.throws(() => signCard(person('Alice'), { ...where, relays }), code('malformed'))
  assert.throws(() => signCard(person('Alice'), { ...where, relays: ['ftp://x'] }), code('malformed'))
})

test('a card with a key that nothing can be sealed to is refused, though it is signed', () => {
  const alice = person('Alice')
  const card = encodeCbor({
    user: alice.userId,
    agreementKey: new Uint8Array(32),
    name: 'Alice',
    relays: [],
    devices: [],
  })
  const signature = crypto.ed25519Sign(alice.user.seed, concatBytes(utf8('cofolder card\0'), card))
  assert.throws(() => verifyCard(encodeCbor({ card, signature })), code('malformed'))
})

test('a name is one line of text that leaves what stands around it alone', () => {
  for (const name of [
    '',
    ' ',
    'a\nb',
    'a\u2028b',
    '\u202Egnp.exe',
    'a\u2066',
    '\u001b[31m',
    'x'.repeat(101),
    '\ud800',
  ]) {
    assert.throws(() => person(name), code('malformed'), JSON.stringify(name))
  }
  for (const name of ['Zoë', '👩‍👩‍👧', 'עמית', 'محمد', "O'Neill"]) assert.equal(person(name).name, name)
})

test('both people see the same code, others another', () => {
  const [a, b, c] = [person('a').userId, person('b').userId, person('c').userId]
  assert.equal(safetyCode(a, b), safetyCode(b, a))
  assert.notEqual(safetyCode(a, b), safetyCode(a, c))
  assert.match(safetyCode(a, b), /^(\d{5} ){5}\d{5}$/)
})
