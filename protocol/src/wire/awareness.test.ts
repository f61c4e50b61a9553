import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import * as encoding from 'lib0/encoding'
import { Awareness, applyAwarenessUpdate, encodeAwarenessUpdate } from 'y-protocols/awareness'
import * as Y from 'yjs'
import { ProtocolError } from '../errors.ts'
import { admissibleAwareness } from './awareness.ts'

type Entry = readonly [client: number, clock: number, text: string]

function updateOf(entries: readonly Entry[], count = entries.length): Uint8Array {
  const out = encoding.createEncoder()
  encoding.writeVarUint(out, count)
  for (const [client, clock, text] of entries) {
    encoding.writeVarUint(out, client)
    encoding.writeVarUint(out, clock)
    encoding.writeVarString(out, text)
  }
  return encoding.toUint8Array(out)
}

function taken(update: Uint8Array): Map<number, unknown> {
  const doc = new Y.Doc()
  const awareness = new Awareness(doc)
  try {
    applyAwarenessUpdate(awareness, admissibleAwareness(update), 'test')
    return new Map([...awareness.getStates()].filter(([client]) => client !== awareness.clientID))
  } finally {
    awareness.destroy()
    doc.destroy()
  }
}

test('states of devices come in as they are', () => {
  const doc = new Y.Doc()
  const awareness = new Awareness(doc)
  awareness.setLocalState({ p: 'x'.repeat(12_000), user: { name: 'a', cursor: [1, 2] } })
  const update = encodeAwarenessUpdate(awareness, [awareness.clientID])
  assert.equal(admissibleAwareness(update), update)
  assert.deepEqual(taken(update).get(awareness.clientID), awareness.getLocalState())
  awareness.destroy()
  doc.destroy()
})

test('one client that goes too far is left out, and the others come in', () => {
  const good: Entry = [1, 1, '{"p":"here"}']
  const bad: Entry[] = [
    [2, 2 ** 50, '{}'],
    [2, 1, `{"p":"${'x'.repeat(200_000)}"}`],
    [2, 1, `{"p":${'['.repeat(5000)}${']'.repeat(5000)}}`],
    [2, 1, '[]'],
    [2, 1, '1'],
  ]
  for (const entry of bad) {
    for (const entries of [
      [entry, good],
      [good, entry],
    ]) {
      assert.deepEqual([...taken(updateOf(entries))], [[1, { p: 'here' }]])
    }
  }
})

test('a message that is cut off or not JSON changes nothing, not even in part', () => {
  const good: Entry = [1, 1, '{"p":"here"}']
  for (const update of [
    updateOf([good], 2),
    updateOf([good, [2, 1, '{']]),
    new Uint8Array(),
    updateOf([], 2 ** 40),
  ]) {
    assert.throws(() => admissibleAwareness(update), ProtocolError)
  }
  assert.throws(
    () => admissibleAwareness(updateOf([good], 10_001)),
    (error) => error instanceof ProtocolError && error.code === 'too-large',
  )
})

test('random messages are refused or harmless', () => {
  const state = fc.oneof(fc.json(), fc.string(), fc.constant('null'), fc.constant('{"__proto__":{"a":1}}'))
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.nat(), fc.nat(), state)), fc.nat(), (entries, cut) => {
      const update = updateOf(entries)
      for (const bytes of [update, update.subarray(0, cut % (update.length + 1))]) {
        try {
          taken(bytes)
        } catch (error) {
          assert.ok(error instanceof ProtocolError, String(error))
        }
      }
    }),
    { numRuns: 300 },
  )
})
