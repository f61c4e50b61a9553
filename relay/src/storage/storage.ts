/**
 * Everything the relay keeps and shares: append-only logs (one for each document), values with an expiry, and topics
 * for fan-out. The rest of the relay depends on this interface alone. `level.ts` is the embedded default,
 * `memory.ts` forgets everything; an engine shared by several relay processes fits behind it too.
 * `conformance.ts` is the suite that every implementation runs.
 */

/** Which appended parts an entry covers, both ends included. Positions grow within one log; gaps mean nothing. */
export interface Span {
  readonly from: number
  readonly to: number
}

export interface LogEntry extends Span {
  readonly bytes: Uint8Array
}

export interface LogStorage {
  /** Adds at the end. Resolves once the bytes survive a crash of the machine. Calls on one log keep their order. */
  append(log: string, bytes: Uint8Array): Promise<Span>
  /**
   * The entries in order, at least those that were there when reading began; compaction meanwhile does no harm.
   * With `from` only those that begin at this position or later.
   */
  read(log: string, from?: number): AsyncIterable<LogEntry>
  /**
   * Puts one entry in the place of neighbouring ones, atomically. False, and nothing changes, when one of them is no
   * longer there.
   */
  compact(log: string, covered: readonly Span[], bytes: Uint8Array): Promise<boolean>
}

export interface PutOptions {
  /** Milliseconds since the epoch from which on the value is gone. */
  readonly expires?: number
}

interface ValueStorage {
  get(key: string): Promise<Uint8Array | undefined>
  /** Resolves once the value survives a crash of the machine. */
  put(key: string, bytes: Uint8Array, options?: PutOptions): Promise<void>
  /** Puts only when the value is still `expected` (undefined: none); false when it is not. */
  exchange(
    key: string,
    expected: Uint8Array | undefined,
    bytes: Uint8Array,
    options?: PutOptions,
  ): Promise<boolean>
  /** False when there was none. */
  delete(key: string): Promise<boolean>
  /** At most `limit` keys that begin with `prefix`, in order of their text. */
  keys(prefix: string, limit: number): Promise<string[]>
  /** How many keys begin with `prefix`, roughly: those that expired lately may be counted. */
  count(prefix: string): Promise<number>
}

export interface Topics {
  /** Hands the message to every subscriber, of this process and of others that share the storage, in order. */
  publish(topic: string, message: Uint8Array): Promise<void>
  /** From the time it resolves, every message published reaches the listener, which must not throw. */
  subscribe(topic: string, listener: (message: Uint8Array) => void): Promise<Subscription>
}

export interface Subscription {
  close(): Promise<void>
}

export interface RelayStorage extends AsyncDisposable {
  readonly logs: LogStorage
  readonly values: ValueStorage
  readonly topics: Topics
  /** Bytes stored, roughly. */
  size(): Promise<number>
  /** Removes expired values. Called now and then. */
  sweep(): Promise<void>
  close(): Promise<void>
}
