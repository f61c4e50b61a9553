import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { utf8 } from '@cofolder/protocol'
import { storageConformance } from './conformance.ts'
import { openLevelStorage } from './level.ts'
import { createMemoryStorage } from './memory.ts'

storageConformance('memory', async () => {
  let shift = 0
  const storage = createMemoryStorage(() => Date.now() + shift)
  return {
    storage,
    pass: (milliseconds) => {
      shift += milliseconds
    },
    [Symbol.asyncDispose]: () => storage.close(),
  }
})

storageConformance('level', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'cofolder-relay-'))
  let shift = 0
  const storage = await openLevelStorage(directory, () => Date.now() + shift)
  return {
    storage,
    pass: (milliseconds) => {
      shift += milliseconds
    },
    async [Symbol.asyncDispose]() {
      await storage.close()
      await rm(directory, { recursive: true })
    },
  }
})

test('level: what was written is there after opening again, and new entries come after the old', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'cofolder-relay-'))
  try {
    const before = await openLevelStorage(directory)
    const old = await before.logs.append('log', utf8('old'))
    await before.values.put('key', utf8('value'))
    await before.close()
    const after = await openLevelStorage(directory)
    const added = await after.logs.append('log', utf8('new'))
    assert.ok(added.from > old.to)
    const texts: string[] = []
    for await (const entry of after.logs.read('log')) texts.push(Buffer.from(entry.bytes).toString())
    assert.deepEqual(texts, ['old', 'new'])
    assert.equal(Buffer.from((await after.values.get('key')) ?? []).toString(), 'value')
    await assert.rejects(openLevelStorage(directory), 'a second process is refused')
    await after.close()
  } finally {
    await rm(directory, { recursive: true })
  }
})
