import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Awareness, encodeAwarenessUpdate } from 'y-protocols/awareness'
import * as Y from 'yjs'
import { toBase64url } from '../bytes.ts'
import { ProtocolError } from '../errors.ts'
import { shortHash } from '../identity/derive.ts'
import { MAX_CHANGE_BYTES } from '../limits.ts'
import {
  awarenessMessage,
  createSyncSession,
  missingMessage,
  readMessage,
  type SyncSession,
  stateVectorMessage,
  submissionMessage,
  updateMessage,
} from './sync.ts'

const keyOf = (n: number): string => toBase64url(shortHash(Uint8Array.of(n)))
const put = (doc: Y.Doc, n: number): unknown => doc.getMap('batches').set(keyOf(n), Uint8Array.of(n))

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
  put(a.doc, 1)
  put(b.doc, 2)
  const toB: Uint8Array[] = []
  const one = a.session((message) => toB.push(message))
  const two = b.session((message) => one.receive(message))
  const flush = (): void => {
    for (let message = toB.shift(); message; message = toB.shift()) two.receive(message)
  }
  one.start()
  two.start()
  flush()
  put(a.doc, 3)
  b.awareness.setLocalState({ p: 'here' })
  flush()
  assert.equal(a.doc.getMap('batches').size, 3)
  assert.deepEqual(b.doc.getMap('batches').toJSON(), a.doc.getMap('batches').toJSON())
  assert.deepEqual(a.awareness.getStates().get(b.doc.clientID), { p: 'here' })
  one.close()
  two.close()
})

test('updates of one who may not write are dropped, and told; his state vector is answered', () => {
  using a = replica(false)
  put(a.doc, 1)
  const sent: Uint8Array[] = []
  const session = a.session((message) => sent.push(message))
  const hostile = new Y.Doc()
  put(hostile, 2)
  session.receive(updateMessage(Y.encodeStateAsUpdate(hostile)))
  session.receive(missingMessage(Y.encodeStateAsUpdate(hostile)))
  assert.equal(a.doc.getMap('batches').size, 1)
  assert.equal(a.refused.count, 2)
  session.receive(missingMessage(Y.encodeStateAsUpdate(new Y.Doc())))
  assert.equal(a.refused.count, 2, 'an empty answer is no attempt to write')
  session.receive(stateVectorMessage(Y.encodeStateVector(hostile)))
  const answer = readMessage(sent[0] ?? new Uint8Array())
  assert.ok(answer.type === 'update')
  Y.applyUpdate(hostile, answer.update)
  assert.equal(hostile.getMap('batches').size, 2)
  session.close()
})

test('one update with something hostile in it neither ends the session nor keeps out the rest', () => {
  using a = replica()
  put(a.doc, 1)
  const session = a.session(() => {})
  const hostile = new Y.Doc()
  hostile.getText('x').insert(0, 'junk')
  put(hostile, 2)
  const selfReferring = Uint8Array.of(1, 1, 7, 0, 0x83, 7, 9, 1, 1, 0)
  session.receive(updateMessage(selfReferring))
  session.receive(missingMessage(Y.mergeUpdates([Y.encodeStateAsUpdate(hostile), selfReferring])))
  assert.equal(a.doc.getMap('batches').size, 2)
  session.close()
})

test('submissions are handed on up to the size of a change', () => {
  using a = replica()
  const session = a.session(() => {})
  session.receive(submissionMessage(new Uint8Array(MAX_CHANGE_BYTES)))
  assert.equal(a.submissions.length, 1)
  const large = submissionMessage(new Uint8Array(MAX_CHANGE_BYTES + 1))
  assert.throws(
    () => session.receive(large),
    (error) => error instanceof ProtocolError && error.code === 'too-large',
  )
  assert.equal(a.submissions.length, 1)
  session.close()
})

test('a failing channel is not taken for a bad message', () => {
  using a = replica()
  const session = a.session(() => {
    throw new RangeError('the channel is closed')
  })
  assert.throws(() => session.receive(stateVectorMessage(Y.encodeStateVector(a.doc))), RangeError)
  session.close()
})

test('messages that throw do so with a typed error and change nothing', () => {
  using a = replica()
  put(a.doc, 1)
  const session = a.session(() => {})
  const state = () => toBase64url(Y.encodeStateAsUpdate(a.doc)) + JSON.stringify([...a.awareness.getStates()])
  const source = new Y.Doc()
  put(source, 2)
  const valid = [
    updateMessage(Y.encodeStateAsUpdate(source)),
    stateVectorMessage(Y.encodeStateVector(source)),
    awarenessMessage(encodeAwarenessUpdate(a.awareness, [a.doc.clientID])),
    submissionMessage(new Uint8Array(9)),
  ]
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 60 }),
      fc.constantFrom(...valid),
      fc.nat(),
      (bytes, message, at) => {
        const flipped = message.map((byte, i) => (i === at % message.length ? byte ^ (1 + (at % 255)) : byte))
        for (const hostile of [bytes, message.subarray(0, at % message.length), flipped]) {
          const before = state()
          try {
            session.receive(hostile)
          } catch (error) {
            assert.ok(error instanceof ProtocolError, String(error))
            assert.equal(state(), before)
          }
        }
      },
    ),
    { numRuns: 1000 },
  )
  assert.ok(a.doc.getMap('batches').has(keyOf(1)))
  session.close()
})
