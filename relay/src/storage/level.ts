/** Storage in an embedded Level database: the default, for one relay process. */

import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { equalBytes } from '@cofolder/protocol'
import { Level } from 'level'
import { createKeyedQueue } from './queue.ts'
import type { LogEntry, PutOptions, RelayStorage, Span } from './storage.ts'
import { createLocalTopics } from './topics.ts'

/** Digits of a position or a time in a key, since keys sort as text. */
const DIGITS = 16
/** Positions set aside at each start, so that none is given twice: more than one run appends. */
const POSITIONS_PER_RUN = 1e9
const NEXT_POSITION = 'meta!next-position'
/** Bytes before a value: when it expires, as a big-endian double; infinity for never. */
const EXPIRY_LENGTH = 8
/** Above every character of the keys in use. */
const LAST = '\x7f'

type Database = Level<string, Uint8Array>
type Operation =
  | { readonly type: 'put'; readonly key: string; readonly value: Uint8Array }
  | { readonly type: 'del'; readonly key: string }

const digits = (n: number): string => Math.floor(n).toString().padStart(DIGITS, '0')
const logKey = (log: string, { from, to }: Span): string => `log!${log}!${digits(from)}-${digits(to)}`
const valueKey = (key: string): string => `val!${key}`
const expiryKey = (key: string, expires: number): string => `exp!${digits(expires)}!${key}`

function spanOf(key: string): Span | undefined {
  const match = /!(\d{16})-(\d{16})$/.exec(key)
  return match ? { from: Number(match[1]), to: Number(match[2]) } : undefined
}

function sealValue(bytes: Uint8Array, expires: number): Uint8Array {
  const value = new Uint8Array(EXPIRY_LENGTH + bytes.length)
  new DataView(value.buffer).setFloat64(0, expires)
  value.set(bytes, EXPIRY_LENGTH)
  return value
}

const expiryOf = (value: Uint8Array): number =>
  value.length < EXPIRY_LENGTH ? 0 : new DataView(value.buffer, value.byteOffset).getFloat64(0)

/** Writes with fsync; those that arrive while one is under way are written together by the next. */
function createWriter(db: Database) {
  let waiting: { operations: readonly Operation[]; done: PromiseWithResolvers<void> }[] = []
  let writing: Promise<void> | undefined

  async function writeAll(): Promise<void> {
    while (waiting.length > 0) {
      const group = waiting
      waiting = []
      try {
        await db.batch(
          group.flatMap(({ operations }) => operations),
          { sync: true },
        )
        for (const { done } of group) done.resolve()
      } catch (error) {
        for (const { done } of group) done.reject(error)
      }
    }
    writing = undefined
  }

  return {
    write(operations: readonly Operation[]): Promise<void> {
      const done = Promise.withResolvers<void>()
      waiting.push({ operations, done })
      writing ??= Promise.resolve().then(writeAll)
      return done.promise
    },
    settled: async (): Promise<void> => writing,
  }
}

/** Bytes of all files in a directory; those that the database removes meanwhile count nothing. */
async function bytesIn(directory: string): Promise<number> {
  const names = await readdir(directory)
  const sizes = names.map((name) =>
    stat(join(directory, name)).then(
      ({ size }) => size,
      () => 0,
    ),
  )
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0)
}

async function firstPosition(db: Database): Promise<number> {
  const stored = await db.get(NEXT_POSITION)
  const first = stored?.length === EXPIRY_LENGTH ? expiryOf(stored) : 0
  const next = sealValue(new Uint8Array(), first + POSITIONS_PER_RUN)
  await db.put(NEXT_POSITION, next, { sync: true })
  return first
}

/** Opens or creates the database in `directory`. @throws Error when another process has it open. */
export async function openLevelStorage(
  directory: string,
  clock: () => number = Date.now,
): Promise<RelayStorage> {
  const db = new Level<string, Uint8Array>(directory, { keyEncoding: 'utf8', valueEncoding: 'view' })
  await db.open()
  let position = await firstPosition(db)
  const writer = createWriter(db)
  const alone = createKeyedQueue()

  /** The value as stored, with its expiry; undefined when there is none or it has expired. */
  async function live(key: string): Promise<Uint8Array | undefined> {
    const value = await db.get(valueKey(key))
    return value && expiryOf(value) > clock() ? value.slice(EXPIRY_LENGTH) : undefined
  }
  const putNow = (key: string, bytes: Uint8Array, options: PutOptions = {}): Promise<void> => {
    const expires = options.expires ?? Number.POSITIVE_INFINITY
    const put = { type: 'put' as const, key: valueKey(key), value: sealValue(bytes, expires) }
    if (!Number.isFinite(expires)) return writer.write([put])
    return writer.write([put, { type: 'put', key: expiryKey(key, expires), value: new Uint8Array() }])
  }
  const close = async (): Promise<void> => {
    await writer.settled()
    await db.close()
  }

  return {
    logs: {
      async append(log, bytes) {
        const span = { from: position, to: position }
        position++
        await writer.write([{ type: 'put', key: logKey(log, span), value: bytes }])
        return span
      },
      async *read(log, from = 0): AsyncIterable<LogEntry> {
        for await (const [key, bytes] of db.iterator({
          gte: `log!${log}!${digits(from)}`,
          lt: `log!${log}!${LAST}`,
        })) {
          const span = spanOf(key)
          if (span) yield { ...span, bytes }
        }
      },
      compact: (log, covered, bytes) =>
        alone(`log!${log}`, async () => {
          const first = covered[0]
          const last = covered.at(-1)
          if (!first || !last) return false
          const keys = covered.map((span) => logKey(log, span))
          if ((await db.hasMany(keys)).includes(false)) return false
          await writer.write([
            ...keys.map((key) => ({ type: 'del' as const, key })),
            { type: 'put', key: logKey(log, { from: first.from, to: last.to }), value: bytes },
          ])
          return true
        }),
    },
    values: {
      get: live,
      put: (key, bytes, options) => alone(key, () => putNow(key, bytes, options)),
      exchange: (key, expected, bytes, options) =>
        alone(key, async () => {
          const current = await live(key)
          const same = current && expected ? equalBytes(current, expected) : current === expected
          if (same) await putNow(key, bytes, options)
          return same
        }),
      delete: (key) =>
        alone(key, async () => {
          const found = (await live(key)) !== undefined
          if (found) await writer.write([{ type: 'del', key: valueKey(key) }])
          return found
        }),
      async keys(prefix, limit) {
        const found: string[] = []
        const from = valueKey(prefix)
        for await (const [key, value] of db.iterator({ gte: from, lt: `${from}${LAST}` })) {
          if (found.length >= limit) break
          if (expiryOf(value) > clock()) found.push(key.slice(valueKey('').length))
        }
        return found
      },
      async count(prefix) {
        const from = valueKey(prefix)
        let count = 0
        for await (const _ of db.keys({ gte: from, lt: `${from}${LAST}` })) count++
        return count
      },
    },
    topics: createLocalTopics(),
    size: () => bytesIn(directory),
    async sweep() {
      const now = clock()
      const past = db.keys({ gt: 'exp!', lt: `exp!${digits(now)}${LAST}` })
      for await (const index of past) {
        const key = index.slice(expiryKey('', 0).length)
        await alone(key, async () => {
          const value = await db.get(valueKey(key))
          // A value that was put again meanwhile has a later expiry, and an index entry of its own.
          const gone = value && expiryOf(value) <= now ? [{ type: 'del' as const, key: valueKey(key) }] : []
          await writer.write([...gone, { type: 'del', key: index }])
        })
      }
    },
    close,
    [Symbol.asyncDispose]: close,
  }
}
