import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Awareness } from 'y-protocols/awareness'
import * as Y from 'yjs'
import { ProtocolError } from '../errors.ts'
import { createSyncSession, readMessage, type SyncSession, updateMessage } from './sync.ts'

function replica(mayWrite = true) {
  const doc = new Y.Doc()
  const awareness = new Awareness(doc)
  const refused = { count: 0 }
  const submissions: Uint8Array[] = []
  return {
    doc,
    awareness,
    refused,
    submissions,
    session(send: (message: Uint8Array) => void): SyncSession {
      return createSyncSession({
        doc,
        awareness,
        mayWrite: () => mayWrite,
        send,
        onSubmission: (signed) => submissions.push(signed),
        onRefused: () => {
          refused.count++
        },
      })
    },
    [Symbol.dispose]() {
      awareness.destroy()
      doc.destroy()
    },
  }
}

test('two replicas come to know the same, now and later', () => {
  using a = replica()
  using b = replica()
  a.doc.getMap('m').set('before', 1)
  b.doc.getMap('m').set('other', 2)
  const toB: Uint8Array[] = []
  const one = a.session((message) => toB.push(message))
  const two = b.session((message) => one.receive(message))
  const flush = (): void => {
    for (let message = toB.shift(); message; message = toB.shift()) two.receive(message)
  }
  one.start()
  two.start()
  flush()
  a.doc.getMap('m').set('later', 3)
  b.awareness.setLocalState({ p: 'here' })
  flush()
  assert.deepEqual(a.doc.getMap('m').toJSON(), { before: 1, other: 2, later: 3 })
  assert.deepEqual(b.doc.getMap('m').toJSON(), a.doc.getMap('m').toJSON())
  assert.deepEqual(a.awareness.getStates().get(b.doc.clientID), { p: 'here' })
  one.close()
  two.close()
})

test('updates of one who may not write are dropped, and told', () => {
  using a = replica(false)
  const session = a.session(() => {})
  const hostile = new Y.Doc()
  hostile.getMap('m').set('x', 1)
  session.receive(updateMessage(Y.encodeStateAsUpdate(hostile)))
  assert.equal(a.doc.getMap('m').size, 0)
  assert.equal(a.refused.count, 1)
  session.close()
})

test('random and mutated messages throw typed errors and change nothing', () => {
  using a = replica()
  a.doc.getMap('m').set('x', 1)
  const session = a.session(() => {})
  const before = Y.encodeStateAsUpdate(a.doc)
  const source = new Y.Doc()
  source.getMap('m').set('y', 'z')
  const valid = updateMessage(Y.encodeStateAsUpdate(source))
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), fc.nat(), (bytes, cut) => {
      for (const hostile of [bytes, valid.subarray(0, cut % valid.length)]) {
        try {
          readMessage(hostile)
          session.receive(hostile)
        } catch (error) {
          assert.ok(error instanceof ProtocolError, String(error))
        }
      }
    }),
    { numRuns: 2000 },
  )
  assert.equal(a.doc.getMap('m').get('x'), 1)
  assert.ok(before.length > 0)
  session.close()
})
