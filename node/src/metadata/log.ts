/**
 * The Yjs updates of one share on disk: an append-only log whose neighbouring entries are merged as it grows. An
 * entry's key names exactly the sequence numbers it covers, and a merge replaces its parts in one atomic batch, so
 * the log is whole after a crash at any point.
 */
import type { ShareId } from '@cofolder/protocol'
import type { Level } from 'level'
import * as Y from 'yjs'
import { mergeRun } from './compaction.ts'
import { openEntry, sealEntry } from './entry.ts'

/** Digits of a sequence number in a key: keys sort by text. */
const SEQUENCE_DIGITS = 12
/** Pause before a failed write (a full disk) is tried again, in milliseconds. */
const RETRY_WRITE_AFTER = 1000

export type Database = Level
export const sublevelOf = (db: Database) =>
  db.sublevel<string, Uint8Array>('replicas', { valueEncoding: 'view' })
export type ReplicaLevel = ReturnType<typeof sublevelOf>

interface Entry {
  readonly from: number
  readonly to: number
  readonly size: number
}

/** A value of the database that could not be read; it is lost here, and comes back from peers. */
export interface DamagedEntry {
  readonly key: string
  readonly reason: 'checksum' | 'malformed'
}

export interface LogContent {
  /** In the order they were written. */
  readonly updates: readonly { readonly key: string; readonly bytes: Uint8Array }[]
  readonly damaged: readonly DamagedEntry[]
}

export interface LogEvents {
  /** Writing began to fail; it is tried again by itself. */
  onError(error: Error): void
  /** An entry is found damaged while its content is still in memory: the owner appends it again. */
  onDamaged(entry: DamagedEntry): void
}

const logPrefix = (share: ShareId): string => `log!${share}!`
const digits = (n: number): string => n.toString().padStart(SEQUENCE_DIGITS, '0')
const entryKey = (share: ShareId, from: number, to: number): string =>
  `${logPrefix(share)}${digits(from)}-${digits(to)}`
/** The entry a new share starts with. */
export const firstEntryKey = (share: ShareId): string => entryKey(share, 0, 0)
/** The range of all keys of one share's log. */
export const logRange = (share: ShareId) => ({ gt: logPrefix(share), lt: `${logPrefix(share)}~` })

function entryRange(share: ShareId, key: string): { from: number; to: number } | undefined {
  const match = /^(\d{12})-(\d{12})$/.exec(key.slice(logPrefix(share).length))
  if (!match) return undefined
  const from = Number(match[1])
  const to = Number(match[2])
  return from <= to ? { from, to } : undefined
}

export class ReplicaLog {
  readonly #db: Database
  readonly #level: ReplicaLevel
  readonly #share: ShareId
  readonly #events: LogEvents
  #entries: Entry[] = []
  #next = 0
  #queue: Uint8Array[] = []
  #durable = false
  #writing: Promise<void> | undefined
  #writingOwn = false
  #written: PromiseWithResolvers<void> | undefined
  #merging: Promise<void> | undefined
  #failing = false
  #closed = false

  constructor(db: Database, share: ShareId, events: LogEvents) {
    this.#db = db
    this.#level = sublevelOf(db)
    this.#share = share
    this.#events = events
  }

  /** Reads everything. Damaged entries are named and dropped, so that they are reported once. */
  async load(): Promise<LogContent> {
    const updates: { key: string; bytes: Uint8Array }[] = []
    const damaged: DamagedEntry[] = []
    const entries: Entry[] = []
    for await (const [key, value] of this.#level.iterator(logRange(this.#share))) {
      const range = entryRange(this.#share, key)
      const bytes = range && openEntry(key, value)
      if (range && bytes) {
        updates.push({ key, bytes })
        entries.push({ ...range, size: bytes.length })
      } else {
        damaged.push({ key, reason: range ? 'checksum' : 'malformed' })
      }
      if (range) this.#next = Math.max(this.#next, range.to + 1)
    }
    this.#entries = entries
    await this.drop(damaged.map(({ key }) => key))
    return { updates, damaged }
  }

  /** Deletes entries that turned out to be unreadable. */
  async drop(keys: readonly string[]): Promise<void> {
    if (keys.length === 0) return
    await this.#level.batch(keys.map((key) => ({ type: 'del' as const, key })))
    const dropped = new Set(keys)
    this.#entries = this.#entries.filter(({ from, to }) => !dropped.has(entryKey(this.#share, from, to)))
  }

  /**
   * Takes one update, to be written with the others of this tick. `durable` updates reach the disk itself
   * (fsync); others only the operating system, since peers still have them.
   */
  append(update: Uint8Array, durable: boolean): void {
    if (this.#closed) throw new Error('the replica is closed')
    this.#queue.push(update)
    this.#durable ||= durable
    this.#writing ??= this.#writeSoon()
    // Nobody may be waiting; the failure is reported by the write itself.
    this.#writing.catch(() => undefined)
  }

  /**
   * Undefined when every durable update taken so far is on disk; otherwise resolves when it is, however long failing
   * writes (a full disk) take, and rejects when the log is closed before.
   */
  written(): Promise<void> | undefined {
    if (!this.#durable && !this.#writingOwn) return undefined
    if (!this.#written) {
      this.#written = Promise.withResolvers()
      this.#written.promise.catch(() => undefined)
    }
    return this.#written.promise
  }

  /** Resolves when every update taken so far is written; rejects when the write at hand fails (it is tried again). */
  async flushed(): Promise<void> {
    while (this.#writing) await this.#writing
  }

  /** Waits for what is under way. Updates that cannot be written by now are lost here. */
  async close(): Promise<void> {
    this.#closed = true
    try {
      await this.flushed()
    } finally {
      this.#written?.reject(new Error('the replica is closed'))
      await this.#merging
    }
  }

  async #writeSoon(): Promise<void> {
    // Until the end of the tick, so that its updates are written as one.
    await new Promise((resolve) => setImmediate(resolve))
    try {
      while (this.#queue.length > 0) await this.#writeQueue()
      this.#writing = undefined
      this.#failing = false
    } catch (error) {
      // A full disk fails every second; it is told once.
      if (!this.#failing) this.#events.onError(error instanceof Error ? error : new Error(String(error)))
      this.#failing = true
      this.#writing = undefined
      if (!this.#closed) this.#retryLater()
      throw error
    }
    this.#mergeSoon()
  }

  #retryLater(): void {
    const timer = setTimeout(() => {
      if (this.#closed || this.#writing || this.#queue.length === 0) return
      this.#writing = this.#writeSoon()
      this.#writing.catch(() => undefined)
    }, RETRY_WRITE_AFTER)
    timer.unref()
  }

  async #writeQueue(): Promise<void> {
    const updates = this.#queue
    const durable = this.#durable
    this.#queue = []
    this.#durable = false
    this.#writingOwn = durable
    const bytes = mergePairwise(updates)
    const from = this.#next
    const key = entryKey(this.#share, from, from)
    try {
      await this.#db.batch(
        [{ type: 'put', sublevel: this.#level, key, value: sealEntry(key, bytes), valueEncoding: 'view' }],
        { sync: durable },
      )
    } catch (error) {
      this.#queue.unshift(bytes)
      this.#durable ||= durable
      throw error
    } finally {
      this.#writingOwn = false
    }
    this.#next = from + 1
    this.#entries.push({ from, to: from, size: bytes.length })
    if (this.#durable) return
    this.#written?.resolve()
    this.#written = undefined
  }

  #mergeSoon(): void {
    if (this.#closed || this.#merging || mergeRun(this.#entries.map(({ size }) => size)) === 0) return
    this.#merging = this.#mergeRuns()
      .catch((error: Error) => this.#events.onError(error))
      .finally(() => {
        this.#merging = undefined
      })
  }

  async #mergeRuns(): Promise<void> {
    let count = mergeRun(this.#entries.map(({ size }) => size))
    while (count > 0 && !this.#closed) {
      await this.#merge(this.#entries.slice(-count))
      count = mergeRun(this.#entries.map(({ size }) => size))
    }
  }

  /** Replaces neighbouring entries by one that covers them. Writes may go on meanwhile: they come after the run. */
  async #merge(run: readonly Entry[]): Promise<void> {
    const first = run[0]
    const last = run.at(-1)
    if (!first || !last) return
    const keys = run.map(({ from, to }) => entryKey(this.#share, from, to))
    const values = await this.#level.getMany(keys)
    const parts = values.map((value, i) => value && openEntry(keys[i] ?? '', value))
    const damaged = keys.filter((_, i) => parts[i] === undefined)
    if (damaged.length > 0) {
      await this.#giveUp(damaged)
      return
    }
    const merged = mergePairwise(parts.filter((part) => part !== undefined))
    const key = entryKey(this.#share, first.from, last.to)
    await this.#level.batch([
      ...keys.map((part) => ({ type: 'del' as const, key: part })),
      { type: 'put' as const, key, value: sealEntry(key, merged) },
    ])
    const at = this.#entries.indexOf(first)
    this.#entries.splice(at, run.length, { from: first.from, to: last.to, size: merged.length })
  }

  /** Damaged entries go once their owner has written anew what they held. */
  async #giveUp(keys: readonly string[]): Promise<void> {
    if (this.#closed) return
    for (const key of keys) this.#events.onDamaged({ key, reason: 'checksum' })
    await this.flushed()
    await this.drop(keys)
  }
}

/** Merging n updates at once costs n² in Yjs; in small groups it stays close to linear. */
function mergePairwise(updates: readonly Uint8Array[]): Uint8Array {
  const group = 16
  let level = [...updates]
  while (level.length > 1) {
    const next: Uint8Array[] = []
    for (let i = 0; i < level.length; i += group) next.push(Y.mergeUpdates(level.slice(i, i + group)))
    level = next
  }
  return level[0] ?? new Uint8Array([0, 0])
}
