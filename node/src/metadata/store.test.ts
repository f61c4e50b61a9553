import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { type ShareId, type ShareKeys, toBase64url } from '@cofolder/protocol'
import fc from 'fast-check'
import { Level } from 'level'
import * as Y from 'yjs'
import { FULL_ENTRY_BYTES, mergeRun, RUN_LENGTH } from './compaction.ts'
import { type DamagedEntry, type Database, type LogContent, type ReplicaLog, sublevelOf } from './log.ts'
import { ReplicaStore } from './store.ts'

const share = toBase64url(new Uint8Array(16).fill(7)) as ShareId
const record = {
  id: share,
  origin: 'created' as const,
  at: 1,
  relays: ['http://relay.test'],
  devices: [],
  name: 'Plans',
  outbox: [],
  noticed: [],
}
const keys: ShareKeys = {
  share,
  root: new Uint8Array(32).fill(1),
  epochs: new Map([
    [0, { key: new Uint8Array(32).fill(2), writeSeed: new Uint8Array(32).fill(3) }],
    [1, { key: new Uint8Array(32).fill(4) }],
  ]),
}
const ignore = { onError: () => undefined, onDamaged: () => undefined }

async function withLevel(
  run: (db: Database, reopen: () => Promise<Database>) => Promise<void>,
): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'cofolder-store-'))
  let db = new Level(join(folder, 'db'))
  const reopen = async () => {
    await db.close()
    db = new Level(join(folder, 'db'))
    return db
  }
  try {
    await run(db, reopen)
  } finally {
    await db.close()
    await rm(folder, { recursive: true, force: true })
  }
}

/** A document whose updates go to a log, as a replica's do. */
function logged(log: ReplicaLog, durable = false) {
  const doc = new Y.Doc()
  doc.on('update', (update: Uint8Array) => log.append(update, durable))
  return doc
}

const put = (doc: Y.Doc, name: string, size = 40) =>
  doc.getMap('batches').set(name, new Uint8Array(randomBytes(size)))

function read({ updates }: LogContent): Y.Doc {
  const doc = new Y.Doc()
  for (const { bytes } of updates) Y.applyUpdate(doc, bytes)
  return doc
}

const names = (doc: Y.Doc) => [...doc.getMap('batches').keys()].sort()

test('a share comes back with its keys and updates', () =>
  withLevel(async (db, reopen) => {
    const first = new Y.Doc()
    put(first, 'first')
    await new ReplicaStore(db).create({ record, keys }, Y.encodeStateAsUpdate(first))
    const log = new ReplicaStore(db).log(share, ignore)
    assert.equal((await log.load()).updates.length, 1)
    put(logged(log, true), 'second')
    await log.written()
    assert.equal(log.written(), undefined)

    const store = new ReplicaStore(await reopen())
    const { replicas, damaged } = await store.list()
    assert.deepEqual({ replicas, damaged }, { replicas: [{ record, keys }], damaged: [] })
    assert.deepEqual(names(read(await store.log(share, ignore).load())), ['first', 'second'])

    await store.forget(share)
    assert.deepEqual((await store.list()).replicas, [])
    assert.deepEqual((await store.log(share, ignore).load()).updates, [])
  }))

test('the updates of one tick are written as one entry', () =>
  withLevel(async (db) => {
    const log = new ReplicaStore(db).log(share, ignore)
    await log.load()
    const doc = logged(log)
    for (let i = 0; i < 20; i++) put(doc, `n${i}`)
    assert.equal(log.written(), undefined, 'nothing of our own is on its way')
    await log.flushed()
    const content = await new ReplicaStore(db).log(share, ignore).load()
    assert.equal(content.updates.length, 1)
    assert.equal(names(read(content)).length, 20)
  }))

test('many small updates are merged into few entries, each rewritten few times', () =>
  withLevel(async (db) => {
    const log = new ReplicaStore(db).log(share, ignore)
    await log.load()
    const doc = logged(log)
    for (let i = 0; i < 1000; i++) {
      put(doc, `n${i}`)
      await log.flushed()
    }
    await log.close()
    const content = await new ReplicaStore(db).log(share, ignore).load()
    assert.ok(content.updates.length < 2 * RUN_LENGTH, `${content.updates.length} entries`)
    assert.equal(names(read(content)).length, 1000)
  }))

test('a damaged entry is lost alone, named once, and room is left for its content to come back', () =>
  withLevel(async (db) => {
    const log = new ReplicaStore(db).log(share, ignore)
    await log.load()
    for (const name of ['a', 'b', 'c']) {
      put(logged(log), name)
      await log.flushed()
    }
    await log.close()
    const level = sublevelOf(db)
    const logKeys = (await level.keys().all()).filter((key) => key.startsWith('log!'))
    const middle = logKeys[1] ?? ''
    const value = (await level.get(middle)) ?? new Uint8Array()
    value[value.length - 3] = (value.at(-3) ?? 0) ^ 1
    await level.put(middle, value)
    await level.put(`log!${share}!nonsense`, new Uint8Array([1]))

    const content = await new ReplicaStore(db).log(share, ignore).load()
    assert.deepEqual(names(read(content)), ['a', 'c'])
    assert.deepEqual(content.damaged, [
      { key: middle, reason: 'checksum' },
      { key: `log!${share}!nonsense`, reason: 'malformed' },
    ])
    assert.deepEqual((await new ReplicaStore(db).log(share, ignore).load()).damaged, [])
  }))

test('damage found while merging is told to the owner, who still has the content', () =>
  withLevel(async (db) => {
    const damaged: DamagedEntry[] = []
    let doc = new Y.Doc()
    const log = new ReplicaStore(db).log(share, {
      onError: (error) => assert.fail(error),
      onDamaged(entry) {
        damaged.push(entry)
        log.append(Y.encodeStateAsUpdate(doc), true)
      },
    })
    await log.load()
    doc = logged(log)
    put(doc, 'first')
    await log.flushed()
    const level = sublevelOf(db)
    const key = (await level.keys().all())[0] ?? ''
    await level.put(key, new Uint8Array(30))
    for (let i = 0; i < RUN_LENGTH; i++) {
      put(doc, `n${i}`)
      await log.flushed()
    }
    await log.close()
    assert.deepEqual(damaged, [{ key, reason: 'checksum' }])
    assert.ok(names(read(await new ReplicaStore(db).log(share, ignore).load())).includes('first'))
  }))

test('keys survive the loss of either copy, and a lost record does not lose the share', () =>
  withLevel(async (db) => {
    const store = new ReplicaStore(db)
    await store.create({ record, keys }, new Uint8Array([0, 0]))
    const level = sublevelOf(db)
    for (const key of (await level.keys().all()).filter((key) => key.endsWith('!a')))
      await level.put(key, new Uint8Array(9))
    const { replicas, damaged } = await store.list()
    assert.deepEqual(replicas, [{ record, keys }])
    assert.equal(damaged.length, 2)
    assert.deepEqual((await store.list()).damaged, [], 'the damaged copies are repaired')

    for (const copy of ['a', 'b']) await level.put(`record!${share}!${copy}`, new Uint8Array(9))
    const [found] = (await store.list()).replicas
    assert.deepEqual(found?.keys, keys)
    assert.equal(found?.record.id, share)
  }))

test('runs to merge stay geometric and bounded', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 20, max: 4000 }), { minLength: 500, maxLength: 3000, size: 'max' }),
      (written) => {
        const sizes: number[] = []
        let rewritten = 0
        for (const size of written) {
          sizes.push(size)
          const count = mergeRun(sizes)
          if (count === 0) continue
          const merged = sizes.splice(-count).reduce((a, b) => a + b, 0)
          assert.ok(merged < 2 * FULL_ENTRY_BYTES)
          rewritten += merged
          sizes.push(merged)
        }
        const total = written.reduce((a, b) => a + b, 0)
        assert.ok(sizes.length <= RUN_LENGTH + 16 + (2 * total) / FULL_ENTRY_BYTES, `${sizes.length} entries`)
        assert.ok(rewritten <= 10 * total, `${rewritten} of ${total}`)
      },
    ),
    { numRuns: 30 },
  )
})

test('a write that fails is told once, tried again, and holds back what waits for it', () =>
  withLevel(async (db) => {
    const errors: Error[] = []
    const log = new ReplicaStore(db).log(share, { ...ignore, onError: (error) => errors.push(error) })
    await log.load()
    const doc = logged(log, true)
    await db.close()
    put(doc, 'first')
    const written = log.written()
    assert.ok(written)
    await assert.rejects(log.flushed())
    put(doc, 'second')
    await assert.rejects(log.flushed())
    assert.equal(errors.length, 1)
    await db.open()
    await written
    assert.deepEqual(names(read(await new ReplicaStore(db).log(share, ignore).load())), ['first', 'second'])
  }))
