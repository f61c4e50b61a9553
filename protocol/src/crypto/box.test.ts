import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { ProtocolError } from '../errors.ts'
import { isAgreementKey, openSealed, openWith, sealTo, sealWith } from './box.ts'
import { crypto } from './index.ts'

const bytes = fc.uint8Array({ maxLength: 200 })
const key = fc.uint8Array({ minLength: 32, maxLength: 32 })
const flip = (sealed: Uint8Array, at: number): Uint8Array =>
  sealed.map((byte, index) => (index === at % sealed.length ? byte ^ 1 : byte))

test('what is sealed to a key opens with its secret, for its purpose, unaltered, and not otherwise', () => {
  fc.assert(
    fc.property(key, key, bytes, fc.nat(), (secret, other, plaintext, at) => {
      const sealed = sealTo(crypto.x25519PublicKey(secret), plaintext, 'a')
      assert.deepEqual(openSealed(secret, sealed, 'a'), plaintext)
      assert.equal(openSealed(secret, sealed, 'b'), undefined)
      assert.equal(openSealed(other, sealed, 'a'), undefined)
      assert.equal(openSealed(secret, flip(sealed, at), 'a'), undefined)
      assert.equal(openSealed(secret, sealed.subarray(0, at % sealed.length), 'a'), undefined)
      assert.notDeepEqual(sealTo(crypto.x25519PublicKey(secret), plaintext, 'a'), sealed)
    }),
    {
      numRuns: 40,
      examples: [[new Uint8Array(32).fill(1), new Uint8Array(32).fill(2), new Uint8Array(), 0]],
    },
  )
})

test('what is sealed under a key opens under it, with the same associated data, and not otherwise', () => {
  fc.assert(
    fc.property(key, key, bytes, bytes, fc.nat(), (secret, other, plaintext, aad, at) => {
      const sealed = sealWith(secret, plaintext, aad, 'a')
      assert.deepEqual(openWith(secret, sealed, aad, 'a'), plaintext)
      assert.equal(openWith(secret, sealed, aad, 'b'), undefined)
      assert.equal(openWith(secret, sealed, Uint8Array.of(...aad, 0), 'a'), undefined)
      assert.equal(openWith(secret, flip(sealed, at), aad, 'a'), undefined)
      assert.equal(openWith(secret, sealed.subarray(0, at % sealed.length), aad, 'a'), undefined)
      if (other.join() !== secret.join()) assert.equal(openWith(other, sealed, aad, 'a'), undefined)
    }),
    { numRuns: 40 },
  )
})

test('random bytes open nothing', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 120 }), (sealed) => {
      assert.equal(openSealed(new Uint8Array(32).fill(1), sealed, 'a'), undefined)
      assert.equal(openWith(new Uint8Array(32).fill(1), sealed, new Uint8Array(), 'a'), undefined)
    }),
  )
})

test('nothing is sealed to a key that has no secret side', () => {
  const lowOrder = [
    new Uint8Array(32),
    Uint8Array.from({ length: 32 }, (_, i) => (i === 0 ? 1 : 0)),
    new Uint8Array(Buffer.from('e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800', 'hex')),
    new Uint8Array(5),
  ]
  for (const publicKey of lowOrder) {
    assert.equal(isAgreementKey(publicKey), false)
    assert.throws(
      () => sealTo(publicKey, new Uint8Array(3), 'a'),
      (error) => error instanceof ProtocolError && error.code === 'malformed',
    )
  }
  assert.equal(isAgreementKey(crypto.x25519PublicKey(crypto.randomBytes(32))), true)
})
