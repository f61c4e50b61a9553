/** What every storage must do. Each implementation's test calls it. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { utf8 } from '@cofolder/protocol'
import type { LogEntry, RelayStorage } from './storage.ts'

export interface StorageUnderTest extends AsyncDisposable {
  readonly storage: RelayStorage
  /** Moves the storage's clock on. */
  pass(milliseconds: number): void
}

const text = (bytes: Uint8Array | undefined): string | undefined =>
  bytes && Buffer.from(bytes).toString('utf8')

async function entries(storage: RelayStorage, log: string): Promise<LogEntry[]> {
  const found: LogEntry[] = []
  for await (const entry of storage.logs.read(log)) found.push(entry)
  return found
}
const texts = async (storage: RelayStorage, log: string): Promise<(string | undefined)[]> =>
  (await entries(storage, log)).map(({ bytes }) => text(bytes))

export function storageConformance(name: string, open: () => Promise<StorageUnderTest>): void {
  test(`${name}: a log keeps the order in which appends were called, and logs do not mix`, async () => {
    await using under = await open()
    const { logs } = under.storage
    await Promise.all(
      Array.from({ length: 100 }, (_, i) => logs.append(i % 2 ? 'odd' : 'even', utf8(`${i}`))),
    )
    assert.deepEqual(
      await texts(under.storage, 'odd'),
      Array.from({ length: 50 }, (_, i) => `${2 * i + 1}`),
    )
    assert.equal((await entries(under.storage, 'even')).length, 50)
    assert.deepEqual(await entries(under.storage, 'od'), [])
    const spans = (await entries(under.storage, 'odd')).map(({ from }) => from)
    assert.deepEqual(
      spans,
      [...spans].sort((a, b) => a - b),
    )
  })

  test(`${name}: compaction puts one entry in the place of its parts, or does nothing`, async () => {
    await using under = await open()
    const { logs } = under.storage
    const spans = []
    for (const word of ['a', 'b', 'c', 'd']) spans.push(await logs.append('log', utf8(word)))
    assert.equal(await logs.compact('log', spans.slice(1, 3), utf8('bc')), true)
    assert.deepEqual(await texts(under.storage, 'log'), ['a', 'bc', 'd'])
    assert.equal(await logs.compact('log', spans.slice(1, 3), utf8('again')), false)
    assert.equal(await logs.compact('other', spans.slice(0, 1), utf8('other')), false)
    assert.deepEqual(await texts(under.storage, 'log'), ['a', 'bc', 'd'])
    await logs.append('log', utf8('e'))
    const tail = []
    for await (const { bytes } of logs.read('log', spans[3]?.from)) tail.push(text(bytes))
    assert.deepEqual(tail, ['d', 'e'])
    const now = await entries(under.storage, 'log')
    assert.deepEqual(
      { from: now[1]?.from, to: now[1]?.to },
      { from: spans[1]?.from, to: spans[2]?.to },
      'the entry names what it covers',
    )
    assert.equal(await logs.compact('log', now, utf8('all')), true)
    assert.deepEqual(await texts(under.storage, 'log'), ['all'])
  })

  test(`${name}: values are put, exchanged and deleted`, async () => {
    await using under = await open()
    const { values } = under.storage
    assert.equal(await values.get('k'), undefined)
    await values.put('k', utf8('1'))
    assert.equal(text(await values.get('k')), '1')
    assert.equal(await values.exchange('k', undefined, utf8('2')), false)
    assert.equal(await values.exchange('k', utf8('0'), utf8('2')), false)
    assert.equal(await values.exchange('k', utf8('1'), utf8('2')), true)
    assert.equal(text(await values.get('k')), '2')
    assert.equal(await values.exchange('new', undefined, utf8('n')), true)
    assert.equal(await values.delete('k'), true)
    assert.equal(await values.delete('k'), false)
    assert.equal(await values.get('k'), undefined)
    const races = await Promise.all(
      Array.from({ length: 10 }, (_, i) => values.exchange('race', undefined, utf8(`${i}`))),
    )
    assert.equal(races.filter(Boolean).length, 1, 'one of several exchanges wins')
  })

  test(`${name}: keys are listed by prefix, in order, up to a limit`, async () => {
    await using under = await open()
    const { values } = under.storage
    for (const key of ['b!2', 'a!1', 'b!1', 'b!3', 'c!1', 'b']) await values.put(key, utf8(key))
    assert.deepEqual(await values.keys('b!', 10), ['b!1', 'b!2', 'b!3'])
    assert.deepEqual(await values.keys('b!', 2), ['b!1', 'b!2'])
    assert.deepEqual(await values.keys('d!', 2), [])
    assert.equal(await values.count('b!'), 3)
  })

  test(`${name}: a value is gone once it has expired, unless it was put again`, async () => {
    await using under = await open()
    const { storage } = under
    const { values } = storage
    const at = Date.now()
    await values.put('short', utf8('s'), { expires: at + 1000 })
    await values.put('renewed', utf8('r'), { expires: at + 1000 })
    await values.put('renewed', utf8('r'), { expires: at + 60_000 })
    await values.put('lasting', utf8('l'))
    under.pass(5000)
    for (const swept of [false, true]) {
      if (swept) await storage.sweep()
      assert.equal(await values.get('short'), undefined)
      assert.equal(text(await values.get('renewed')), 'r')
      assert.deepEqual(await values.keys('', 10), ['lasting', 'renewed'])
    }
    assert.equal(await values.delete('short'), false)
    assert.equal(await values.exchange('short', undefined, utf8('new')), true)
    assert.equal(text(await values.get('short')), 'new')
  })

  test(`${name}: topics reach every subscriber in order until it closes`, async () => {
    await using under = await open()
    const { topics } = under.storage
    const heard: string[] = []
    const first = await topics.subscribe('t', (message) => heard.push(`1${text(message)}`))
    const second = await topics.subscribe('t', (message) => heard.push(`2${text(message)}`))
    await topics.publish('t', utf8('a'))
    await topics.publish('other', utf8('x'))
    await first.close()
    await topics.publish('t', utf8('b'))
    await second.close()
    await topics.publish('t', utf8('c'))
    assert.deepEqual(heard.sort(), ['1a', '2a', '2b'])
  })

  test(`${name}: the size grows with what is stored`, async () => {
    await using under = await open()
    const before = await under.storage.size()
    for (let i = 0; i < 20; i++)
      await under.storage.logs.append('log', crypto.getRandomValues(new Uint8Array(60_000)))
    assert.ok((await under.storage.size()) > before + 500_000)
  })
}
