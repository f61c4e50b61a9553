import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import * as v from 'valibot'
import { ProtocolError } from '../errors.ts'
import { decodeCbor, encodeCbor, parse } from './cbor.ts'

const refused = (bytes: Uint8Array, code = 'malformed'): void => {
  assert.throws(
    () => decodeCbor(bytes, 1000),
    (error) => error instanceof ProtocolError && error.code === code,
  )
}

test('values come back as they were, and equal values have equal bytes whatever the order of their fields', () => {
  fc.assert(
    fc.property(
      fc.dictionary(fc.string(), fc.oneof(fc.string(), fc.maxSafeInteger(), fc.uint8Array(), fc.boolean())),
      (value) => {
        const bytes = encodeCbor(value)
        assert.deepEqual(decodeCbor(bytes, bytes.length), { ...value })
        assert.deepEqual(encodeCbor(Object.fromEntries(Object.entries(value).reverse())), bytes)
      },
    ),
  )
})

test('what is not strict is refused', () => {
  refused(Uint8Array.of(0xa2, 0x61, 0x61, 1, 0x61, 0x61, 2)) // {"a":1,"a":2}
  refused(Uint8Array.of(0x9f, 1, 0xff)) // an array of indefinite length
  refused(Uint8Array.of(1, 1)) // something after the value
  refused(Uint8Array.of(0x5b, 0, 0, 0, 1, 0, 0, 0, 0)) // 4 GiB announced
  refused(Uint8Array.of(0xf9, 0x7e, 0x00)) // NaN
  refused(Uint8Array.of(0xc1, 1)) // a tag
  refused(new Uint8Array(900).fill(0x81)) // 900 arrays deep, cut off
  refused(new Uint8Array(2000), 'too-large')
})

test('random bytes decode or are refused, never anything else', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      try {
        decodeCbor(bytes, 300)
      } catch (error) {
        assert.ok(error instanceof ProtocolError)
      }
    }),
    { numRuns: 2000 },
  )
})

test('a schema names what is wrong', () => {
  const Schema = v.object({ a: v.object({ b: v.number() }) })
  assert.throws(() => parse(Schema, { a: { b: 'x' } }), /a\.b/)
})
