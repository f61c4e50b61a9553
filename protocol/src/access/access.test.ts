import assert from 'node:assert/strict'
import { test } from 'node:test'
import { crypto } from '../crypto/index.ts'
import { ProtocolError } from '../errors.ts'
import { shareIdOf } from '../identity/derive.ts'
import { createIdentity } from '../identity/identity.ts'
import { createAccessStatement, rightsOf, verifyAccessStatement } from './rights.ts'
import {
  createMailboxToken,
  createToken,
  MAX_TOKEN_LIFE_MS,
  verifyMailboxToken,
  verifyToken,
} from './token.ts'

const NOW = 1_700_000_000_000
const code = (wanted: string) => (error: unknown) => error instanceof ProtocolError && error.code === wanted
const alice = createIdentity({ name: 'Alice', deviceName: 'laptop', at: NOW })
const relay = createIdentity({ name: 'relay', deviceName: 'relay', at: NOW }).deviceId
const adminSeed = crypto.randomBytes(32)
const document = shareIdOf(crypto.ed25519PublicKey(adminSeed))
const epoch = { key: crypto.randomBytes(32), writeSeed: crypto.randomBytes(32) }
const rights = rightsOf(epoch)
const expected = {
  document,
  audience: relay,
  readKey: rights.readKey,
  writeKey: rights.writeKey ?? new Uint8Array(),
  now: NOW,
}
const claims = {
  document,
  right: 'read' as const,
  audience: relay,
  device: alice.deviceId,
  expires: NOW + 60_000,
}

test('an access statement proves itself, and only for the document of its key', () => {
  const bytes = createAccessStatement(adminSeed, 3, epoch)
  const statement = verifyAccessStatement(bytes)
  assert.equal(statement.document, document)
  assert.equal(statement.epoch, 3)
  assert.deepEqual(statement.readKey, rights.readKey)
  for (let index = 0; index < bytes.length; index++) {
    const altered = bytes.slice()
    altered[index] = (altered[index] ?? 0) ^ 1
    assert.throws(() => verifyAccessStatement(altered), ProtocolError, `byte ${index}`)
  }
  assert.throws(() => createAccessStatement(adminSeed, 3, { key: epoch.key }), code('forbidden'))
})

test('a viewer can read but not write', () => {
  assert.equal(verifyToken(createToken(claims, rights.readSeed), expected).right, 'read')
  const pretended = createToken({ ...claims, right: 'write' }, rights.readSeed)
  assert.throws(() => verifyToken(pretended, expected), code('bad-signature'))
  const writer = createToken({ ...claims, right: 'write' }, epoch.writeSeed)
  assert.equal(verifyToken(writer, expected).right, 'write')
})

test('a token holds for its document, its relay and its time alone', () => {
  const token = createToken(claims, rights.readSeed)
  const elsewhere = shareIdOf(crypto.randomBytes(32))
  assert.throws(() => verifyToken(token, { ...expected, document: elsewhere }), code('forbidden'))
  assert.throws(() => verifyToken(token, { ...expected, audience: alice.deviceId }), code('forbidden'))
  assert.throws(() => verifyToken(token, { ...expected, now: NOW + 10 * 60_000 }), code('expired'))
  assert.throws(
    () => verifyToken(token, { ...expected, now: NOW - MAX_TOKEN_LIFE_MS - 10 * 60_000 }),
    code('malformed'),
  )
  for (const rubbish of [
    '',
    'v1',
    'v1..',
    'v1.a.b',
    'v2.x.y',
    token.slice(0, -3),
    `${token}.x`,
    'x'.repeat(5000),
  ]) {
    assert.throws(() => verifyToken(rubbish, expected), ProtocolError, rubbish.slice(0, 20))
  }
})

test("a mailbox opens to its owner's token alone", () => {
  const mine = { mailbox: alice.userId, audience: relay, device: alice.deviceId, expires: NOW + 1000 }
  const check = { mailbox: alice.userId, audience: relay, now: NOW }
  assert.equal(verifyMailboxToken(createMailboxToken(mine, alice.user.seed), check).mailbox, alice.userId)
  assert.throws(
    () => verifyMailboxToken(createMailboxToken(mine, crypto.randomBytes(32)), check),
    code('bad-signature'),
  )
  assert.throws(() => verifyMailboxToken(createToken(claims, alice.user.seed), check), ProtocolError)
})

test('clocks may differ by two minutes, not by more', () => {
  const skew = 2 * 60_000
  const at = (now: number, expires: number) => () =>
    verifyToken(createToken({ ...claims, expires }, rights.readSeed), { ...expected, now })
  assert.equal(at(NOW + skew, NOW)().right, 'read')
  assert.throws(at(NOW + skew + 1, NOW), code('expired'))
  assert.equal(at(NOW, NOW + MAX_TOKEN_LIFE_MS + skew)().right, 'read')
  assert.throws(at(NOW, NOW + MAX_TOKEN_LIFE_MS + skew + 1), code('malformed'))
  const mailbox = { mailbox: alice.userId, audience: relay, device: alice.deviceId, expires: NOW }
  const check = { mailbox: alice.userId, audience: relay }
  const token = createMailboxToken(mailbox, alice.user.seed)
  assert.equal(verifyMailboxToken(token, { ...check, now: NOW + skew }).mailbox, alice.userId)
  assert.throws(() => verifyMailboxToken(token, { ...check, now: NOW + skew + 1 }), code('expired'))
  assert.throws(
    () => verifyMailboxToken(token, { ...check, audience: alice.deviceId, now: NOW }),
    code('forbidden'),
  )
})

test('keys of one epoch prove nothing in another', () => {
  const next = rightsOf({ key: crypto.randomBytes(32), writeSeed: crypto.randomBytes(32) })
  const later = { ...expected, readKey: next.readKey, writeKey: next.writeKey ?? new Uint8Array() }
  for (const [right, seed] of [
    ['read', rights.readSeed],
    ['write', epoch.writeSeed],
  ] as const) {
    assert.throws(() => verifyToken(createToken({ ...claims, right }, seed), later), code('bad-signature'))
  }
})
