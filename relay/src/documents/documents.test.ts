import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import fc from 'fast-check'
import * as Y from 'yjs'
import { RelayError } from '../errors.ts'
import { createMemoryStorage } from '../storage/memory.ts'
import { mergeAll } from './compaction.ts'
import { type Coverage, coverageOf, decodeStored, encodeStored } from './coverage.ts'
import { DocumentLog } from './log.ts'
import { encodePresence, Presence, readPresence } from './presence.ts'
import { ClockRanges } from './ranges.ts'
import { splitUpdate } from './split.ts'

const document = (client: number): { doc: Y.Doc; updates: Uint8Array[] } => {
  const doc = new Y.Doc()
  doc.clientID = client
  const updates: Uint8Array[] = []
  doc.on('update', (update: Uint8Array) => updates.push(update))
  return { doc, updates }
}
const contents = (doc: Y.Doc) => new Map([...doc.getMap('batches')].sort(([a], [b]) => (a < b ? -1 : 1)))
const applied = (...updates: Uint8Array[]): Y.Doc => {
  const doc = new Y.Doc()
  for (const update of updates) Y.applyUpdate(doc, update)
  return doc
}
async function append(log: DocumentLog, update: Uint8Array): Promise<void> {
  const coverage = coverageOf(update)
  const stored = encodeStored({ coverage, update })
  log.note(await log.append(stored), coverage, stored.length)
  log.compactSoon()
}
const random = (length: number): Uint8Array => new Uint8Array(randomBytes(length))
const fail = (error: Error): never => {
  throw error
}

test('ranges of clocks hold what sets of clocks hold', () => {
  const range = fc.tuple(fc.integer({ min: 0, max: 2 }), fc.nat(30), fc.nat(6))
  fc.assert(
    fc.property(fc.array(range), fc.array(range), (all, asked) => {
      const ranges = new ClockRanges()
      const clocks = new Set<string>()
      for (const [client, from, length] of all) {
        ranges.add(client, from, from + length)
        for (let clock = from; clock < from + length; clock++) clocks.add(`${client} ${clock}`)
      }
      const listed = [...ranges].flatMap(({ client, from, to }) =>
        Array.from({ length: to - from }, (_, i) => `${client} ${from + i}`),
      )
      assert.deepEqual(new Set(listed), clocks)
      assert.equal(listed.length, clocks.size)
      for (const [client, from, length] of asked) {
        const one = new ClockRanges()
        one.add(client, from, from + length)
        const inside = Array.from({ length }, (_, i) => clocks.has(`${client} ${from + i}`)).every(Boolean)
        assert.equal(ranges.contains(one), inside)
      }
      for (const [client, clock] of ranges.stateVector()) {
        assert.ok(!clocks.has(`${client} ${clock}`))
        for (let below = 0; below < clock; below++) assert.ok(clocks.has(`${client} ${below}`))
      }
    }),
  )
})

test('bytes that are no update are refused', () => {
  const { doc, updates } = document(1)
  doc.getMap('batches').set('a', random(100))
  const update = updates[0] ?? fail(new Error('no update'))
  fc.assert(
    fc.property(
      fc.oneof(
        fc.uint8Array({ maxLength: 200 }),
        fc.nat(update.length - 1).map((n) => update.slice(0, n)),
      ),
      (bytes) => {
        try {
          coverageOf(bytes)
        } catch (error) {
          assert.ok(error instanceof RelayError && error.code === 'malformed')
        }
      },
    ),
  )
  assert.throws(() => coverageOf(update.slice(0, 40)), RelayError)
})

test('a stored update keeps its coverage, also with gaps and deletes', () => {
  const { doc, updates } = document(7)
  const map = doc.getMap('batches')
  for (let i = 0; i < 5; i++) map.set(`${i % 2}`, i)
  const update = Y.mergeUpdates([updates[0] ?? fail(new Error()), updates[4] ?? fail(new Error())])
  const coverage = coverageOf(update)
  const again = decodeStored(encodeStored({ coverage, update }))
  assert.deepEqual(
    [...again.coverage.structs],
    [
      { client: 7, from: 0, to: 1 },
      { client: 7, from: 4, to: 5 },
    ],
  )
  assert.deepEqual([...again.coverage.deletes], [...coverage.deletes])
  assert.ok(!coverage.deletes.empty)
  assert.deepEqual(Buffer.from(again.update), Buffer.from(update))
})

test('a large update is cut into parts that say the same', () => {
  const docs = [1, 2, 3].map((client) => document(client))
  docs.forEach(({ doc }, d) => {
    doc.transact(() => {
      for (let i = 0; i < 20; i++) doc.getMap('batches').set(`${d}-${i}`, random(100_000))
      doc.getMap('batches').delete(`${d}-3`)
    })
  })
  const whole = Y.mergeUpdates(docs.map(({ doc }) => Y.encodeStateAsUpdate(doc)))
  const stored = splitUpdate(whole)
  const parts = stored.map(({ update }) => update)
  const listed = ({ structs, deletes }: Coverage) => [[...structs], [...deletes]]
  assert.ok(parts.length >= 5 && parts.every((part) => part.length < 1_200_000))
  for (const { coverage, update } of stored) assert.deepEqual(listed(coverage), listed(coverageOf(update)))
  assert.deepEqual(contents(applied(...parts)), contents(applied(whole)))
  assert.deepEqual(contents(applied(mergeAll(parts))), contents(applied(whole)))
  const small = Y.encodeStateAsUpdate(new Y.Doc())
  assert.equal(splitUpdate(small)[0]?.update, small)
})

test('a log answers what a replica lacks, whole or in part, and after compaction', async () => {
  const storage = createMemoryStorage()
  const log = await DocumentLog.open(storage.logs, 'doc', fail)
  const { doc, updates } = document(1)
  const half = new Y.Doc()
  for (let i = 0; i < 500; i++) {
    doc.getMap('batches').set(`key-${i}`, random(50))
    await append(log, updates[i] ?? fail(new Error()))
    if (i === 250) Y.applyUpdate(half, Y.encodeStateAsUpdate(doc))
  }
  await log.settled()
  let entries = 0
  for await (const _ of storage.logs.read('doc')) entries++
  assert.ok(entries < 100, `${entries} entries`)

  for (const opened of [log, await DocumentLog.open(storage.logs, 'doc', fail)]) {
    for (const replica of [new Y.Doc(), half, doc]) {
      const parts: Uint8Array[] = []
      const clocks = Y.decodeStateVector(Y.encodeStateVector(replica))
      for await (const part of opened.missing(clocks)) parts.push(part)
      if (replica === doc) assert.equal(parts.length, 0)
      const filled = applied(Y.encodeStateAsUpdate(replica), ...parts)
      assert.deepEqual(contents(filled), contents(doc))
    }
    assert.deepEqual(Y.decodeStateVector(opened.stateVector()), Y.decodeStateVector(Y.encodeStateVector(doc)))
    assert.ok(opened.covers(coverageOf(Y.encodeStateAsUpdate(doc))))
  }
  assert.ok(log.bytes < 500 * 120)
})

test('a damaged entry is passed over and told', async () => {
  const storage = createMemoryStorage()
  const { doc, updates } = document(1)
  doc.getMap('batches').set('a', 1)
  await storage.logs.append('doc', new Uint8Array([250, 1, 2, 3]))
  const errors: Error[] = []
  const log = await DocumentLog.open(storage.logs, 'doc', (error) => errors.push(error))
  await append(log, updates[0] ?? fail(new Error()))
  assert.equal(errors.length, 1)
  const parts: Uint8Array[] = []
  for await (const part of log.missing(new Map())) parts.push(part)
  assert.deepEqual(contents(applied(...parts)), contents(doc))
})

test('presence: only news passes, and a leaving connection takes its entries along', () => {
  const limits = { presenceBytes: 100, presencePerConnection: 2 }
  const presence = new Presence(limits)
  const entry = (client: number, clock: number, state = '{}') => ({ client, clock, state })
  assert.deepEqual(readPresence(encodePresence([entry(1, 1)])), [entry(1, 1)])
  assert.equal(presence.update('a', [entry(1, 1)]).length, 1)
  assert.equal(presence.update('b', [entry(1, 1), entry(2, 1)]).length, 1, 'an echo is no news')
  assert.equal(presence.update('b', [entry(3, 1, `"${'x'.repeat(200)}"`)]).length, 0, 'too large')
  assert.equal(presence.update('b', [entry(3, 1), entry(4, 1)]).length, 1, 'too many')
  assert.deepEqual(presence.leave('a'), [entry(1, 1, 'null')])
  assert.deepEqual(
    presence.all().map(({ client }) => client),
    [2, 3],
  )
  assert.equal(presence.update('b', [entry(2, 1, 'null')]).length, 1)
  assert.throws(() => readPresence(encodePresence([entry(1, 1, '{broken')])), RelayError)
  assert.throws(() => readPresence(new Uint8Array([255, 255, 255, 255, 15])), RelayError)
})
