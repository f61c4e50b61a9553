/** The stored updates of one document: appended, compared with what a replica knows, compacted. Holds no content. */
import * as Y from 'yjs'
import type { LogStorage, Span } from '../storage/storage.ts'
import { mergeAll, mergeRun } from './compaction.ts'
import {
  addCoverage,
  type Coverage,
  coverageOf,
  covers,
  decodeStored,
  emptyCoverage,
  encodeStored,
  type StoredUpdate,
} from './coverage.ts'

interface Entry extends Span {
  readonly size: number
}

/** An update of no structs and no deletes. */
const NOTHING = 2

export class DocumentLog {
  readonly #storage: LogStorage
  readonly #name: string
  readonly #onError: (error: Error) => void
  readonly #entries: Entry[] = []
  readonly #known: Coverage = emptyCoverage()
  #bytes = 0
  #compacting: Promise<void> | undefined

  private constructor(storage: LogStorage, name: string, onError: (error: Error) => void) {
    this.#storage = storage
    this.#name = name
    this.#onError = onError
  }

  /** Reads through the log once. `onError` hears of damaged entries and of failed compactions. */
  static async open(
    storage: LogStorage,
    name: string,
    onError: (error: Error) => void,
  ): Promise<DocumentLog> {
    const log = new DocumentLog(storage, name, onError)
    for await (const [span, stored, size] of log.#stored()) log.note(span, stored.coverage, size)
    return log
  }

  /** Bytes of all entries. */
  get bytes(): number {
    return this.#bytes
  }

  /** How far each client is known without a gap, as Yjs encodes it. */
  stateVector(): Uint8Array {
    return Y.encodeStateVector(this.#known.structs.stateVector())
  }

  covers(coverage: Coverage): boolean {
    return covers(this.#known, coverage)
  }

  /** Counts an update as known before it is stored, so that a repetition meanwhile is recognised. */
  expect(coverage: Coverage): void {
    addCoverage(this.#known, coverage)
  }

  /** Takes an encoded `StoredUpdate`; resolves once it is durable. */
  append(stored: Uint8Array): Promise<Span> {
    return this.#storage.append(this.#name, stored)
  }

  /** Takes notice of an entry that was appended, here or by another process. */
  note(span: Span, coverage: Coverage, size: number): void {
    addCoverage(this.#known, coverage)
    this.#entries.push({ from: span.from, to: span.to, size })
    this.#bytes += size
  }

  /** What a replica with this state vector lacks, in the order it was written, a part at a time. */
  async *missing(clocks: ReadonlyMap<number, number>): AsyncGenerator<Uint8Array> {
    const encoded = Y.encodeStateVector(new Map(clocks))
    for await (const [, { coverage, update }] of this.#stored()) {
      if (coverage.deletes.empty && coverage.structs.isBelow(clocks)) continue
      const part = this.#readable(() => Y.diffUpdate(update, encoded))
      if (part && part.length > NOTHING) yield part
    }
  }

  compactSoon(): void {
    if (this.#compacting || mergeRun(this.#entries.map(({ size }) => size)) === 0) return
    this.#compacting = this.#compact()
      .catch((error: Error) => this.#onError(error))
      .finally(() => {
        this.#compacting = undefined
      })
  }

  /** Waits for what is under way. */
  async settled(): Promise<void> {
    await this.#compacting
  }

  async *#stored(from?: number): AsyncGenerator<readonly [Span, StoredUpdate, number]> {
    for await (const entry of this.#storage.read(this.#name, from)) {
      const stored = this.#readable(() => decodeStored(entry.bytes))
      if (stored) yield [entry, stored, entry.bytes.length]
    }
  }

  /** A damaged entry is passed over: its content comes back from members' devices. */
  #readable<T>(read: () => T): T | undefined {
    try {
      return read()
    } catch (error) {
      this.#onError(error instanceof Error ? error : new Error(String(error)))
      return undefined
    }
  }

  async #compact(): Promise<void> {
    for (let count = this.#runLength(); count > 0; count = this.#runLength()) {
      const run = this.#entries.slice(-count)
      const first = run[0]
      const last = run.at(-1)
      if (!first || !last) return
      const updates: Uint8Array[] = []
      const found: Span[] = []
      for await (const [span, { update }] of this.#stored(first.from)) {
        if (span.to > last.to) break
        found.push(span)
        updates.push(update)
      }
      const update = mergeAll(updates)
      const bytes = encodeStored({ coverage: coverageOf(update), update })
      if (!(await this.#storage.compact(this.#name, found, bytes))) return
      const at = this.#entries.indexOf(first)
      this.#entries.splice(at, run.length, { from: first.from, to: last.to, size: bytes.length })
      this.#bytes += bytes.length - run.reduce((sum, { size }) => sum + size, 0)
    }
  }

  #runLength(): number {
    return mergeRun(this.#entries.map(({ size }) => size))
  }
}
