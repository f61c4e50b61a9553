import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { crypto as node } from './node.ts'
import { crypto as web } from './web.ts'

const bytes = (max = 200) => fc.uint8Array({ maxLength: max })
const key = fc.uint8Array({ minLength: 32, maxLength: 32 })
const nonce = fc.uint8Array({ minLength: 12, maxLength: 12 })

test('both implementations compute the same', () => {
  fc.assert(
    fc.property(key, key, nonce, bytes(), bytes(), (a, b, iv, data, aad) => {
      assert.deepEqual(web.sha256(data), node.sha256(data))
      assert.deepEqual(web.hkdf(a, 'info', 48), node.hkdf(a, 'info', 48))
      assert.deepEqual(web.ed25519PublicKey(a), node.ed25519PublicKey(a))
      assert.deepEqual(web.ed25519Sign(a, data), node.ed25519Sign(a, data))
      assert.deepEqual(web.x25519(a, web.x25519PublicKey(b)), node.x25519(b, node.x25519PublicKey(a)))
      const sealed = node.aesGcmSeal(a, iv, data, aad)
      assert.deepEqual(web.aesGcmSeal(a, iv, data, aad), sealed)
      assert.deepEqual(web.aesGcmOpen(a, iv, sealed, aad), data)
      assert.deepEqual(node.aesGcmOpen(a, iv, sealed, aad), data)
    }),
    { numRuns: 30 },
  )
})

for (const [name, crypto] of [
  ['node', node],
  ['web', web],
] as const) {
  test(`${name}: a changed bit, wrong key or wrong associated data opens nothing`, () => {
    fc.assert(
      fc.property(key, nonce, bytes(), fc.nat(), (secret, iv, data, at) => {
        const aad = new Uint8Array([1])
        const sealed = crypto.aesGcmSeal(secret, iv, data, aad)
        const broken = sealed.slice()
        const index = at % broken.length
        broken[index] = (broken[index] ?? 0) ^ 1
        assert.equal(crypto.aesGcmOpen(secret, iv, broken, aad), undefined)
        assert.equal(crypto.aesGcmOpen(secret, iv, sealed, new Uint8Array([2])), undefined)
        assert.equal(crypto.aesGcmOpen(secret, iv, new Uint8Array(3), aad), undefined)
      }),
      { numRuns: 30 },
    )
  })

  test(`${name}: hostile keys and signatures are refused, not thrown`, () => {
    const seed = crypto.randomBytes(32)
    const message = crypto.randomBytes(10)
    const signature = crypto.ed25519Sign(seed, message)
    assert.equal(crypto.ed25519Verify(crypto.ed25519PublicKey(seed), message, signature), true)
    assert.equal(
      crypto.ed25519Verify(crypto.ed25519PublicKey(seed), crypto.randomBytes(10), signature),
      false,
    )
    assert.equal(crypto.ed25519Verify(new Uint8Array(5), message, signature), false)
    assert.equal(crypto.ed25519Verify(new Uint8Array(32).fill(255), message, signature), false)
    assert.equal(crypto.ed25519Verify(crypto.ed25519PublicKey(seed), message, new Uint8Array(3)), false)
    assert.equal(crypto.x25519(seed, new Uint8Array(32)), undefined)
    assert.equal(crypto.x25519(seed, new Uint8Array(7)), undefined)
  })
}
