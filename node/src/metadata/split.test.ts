import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { MAX_MESSAGE_BYTES, missingMessage, readMessage, stateVectorMessage } from '@cofolder/protocol'
import * as Y from 'yjs'
import { splitMessage, splitUpdate } from './split.ts'

function filled(entries: number, size: number): Y.Doc {
  const doc = new Y.Doc()
  for (const writer of [1, 2, 3]) {
    const other = new Y.Doc()
    Y.applyUpdate(other, Y.encodeStateAsUpdate(doc))
    for (let i = 0; i < entries; i++)
      other.getMap('batches').set(`${writer}-${i}`, new Uint8Array(randomBytes(size)))
    other.getMap('batches').delete(`${writer}-0`)
    Y.applyUpdate(doc, Y.encodeStateAsUpdate(other))
  }
  return doc
}

test('the parts of an update say what it says', () => {
  const doc = filled(40, 100_000)
  const parts = splitUpdate(Y.encodeStateAsUpdate(doc))
  assert.ok(parts.length > 8)
  const copy = new Y.Doc()
  for (const part of parts) Y.applyUpdate(copy, part)
  assert.deepEqual(copy.getMap('batches').toJSON(), doc.getMap('batches').toJSON())
  assert.deepEqual(Y.encodeStateVector(copy), Y.encodeStateVector(doc))
})

test('a message larger than a stream takes is cut; the last part is the answer', () => {
  const message = missingMessage(Y.encodeStateAsUpdate(filled(60, 100_000)))
  assert.ok(message.length > MAX_MESSAGE_BYTES)
  const parts = splitMessage(message)
  const copy = new Y.Doc()
  for (const part of parts) {
    assert.ok(part.length < 2 * 1024 * 1024)
    const read = readMessage(part)
    assert.equal(read.type, 'update')
    if (read.type === 'update') Y.applyUpdate(copy, read.update)
  }
  assert.equal(parts.at(-1)?.[1], 1, 'step 2 ends the answer')
  assert.equal(copy.getMap('batches').size, 3 * 59)
})

test('small messages and others than updates stay whole', () => {
  const message = stateVectorMessage(new Uint8Array([0]))
  assert.deepEqual(splitMessage(message), [message])
})
