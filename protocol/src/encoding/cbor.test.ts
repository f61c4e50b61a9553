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

test('text comes back exactly, and what is not UTF-8 is refused: otherwise names would differ between machines', () => {
  for (const text of [
    '\uFEFFreport.txt',
    '\uFEFF',
    `${'a'.repeat(40)}\uFEFF`,
    'Ä',
    'e\u0301',
    '🎈',
    '\u0000',
    '\uFFFD',
  ]) {
    assert.equal(decodeCbor(encodeCbor(text), 200), text)
    assert.deepEqual(decodeCbor(encodeCbor({ [text]: text }), 200), { [text]: text })
  }
  refused(Uint8Array.of(0x62, 0xff, 0x41))
  refused(Uint8Array.of(0x62, 0xc3, 0x28))
  refused(Uint8Array.of(0x63, 0xed, 0xa0, 0x80)) // half of a surrogate pair
  refused(Uint8Array.of(0xa1, 0x61, 0xff, 1))
})

test('how deep values may nest does not hang on how full the stack is', () => {
  const nested = (depth: number, head: readonly number[]) =>
    Uint8Array.from([...Array.from({ length: depth }, () => head).flat(), 0])
  const decodesBelow = (frames: number, bytes: Uint8Array): boolean => {
    if (frames > 0) return decodesBelow(frames - 1, bytes)
    try {
      decodeCbor(bytes, 100_000)
      return true
    } catch (error) {
      assert.ok(error instanceof ProtocolError)
      return false
    }
  }
  for (const head of [[0x81], [0xa1, 0x61, 0x61], [0x82, 0]]) {
    for (const frames of [0, 4000]) {
      assert.equal(decodesBelow(frames, nested(32, head)), true)
      for (const depth of [33, 1000, 30_000]) assert.equal(decodesBelow(frames, nested(depth, head)), false)
    }
  }
  const wide = Array.from({ length: 200 }, () => [[{ a: [] }], {}])
  assert.deepEqual(decodeCbor(encodeCbor(wide), 10_000), wide)
})

test('decoded bytes are copies: the input may be a Buffer that is used again', () => {
  const input = Buffer.from(encodeCbor({ a: new Uint8Array([1, 2, 3]) }))
  const decoded = decodeCbor(input, 100)
  input.fill(0)
  assert.deepEqual(decoded, { a: new Uint8Array([1, 2, 3]) })
})

test('a key that is special to JavaScript is a key like others', () => {
  const decoded = decodeCbor(encodeCbor(JSON.parse('{"__proto__":{"admin":true}}')), 100)
  assert.equal(Reflect.get(Object(decoded), 'admin'), undefined)
})

test('a schema names what is wrong', () => {
  const Schema = v.object({ a: v.object({ b: v.number() }) })
  assert.throws(() => parse(Schema, { a: { b: 'x' } }), /a\.b/)
})
