/**
 * The replicas of share documents on disk, in one sublevel of the profile's database: for each share a record, its
 * keys (twice: nobody else can give them back) and a log of updates (`log.ts`). Every value carries a checksum; a
 * damaged one is lost alone, is reported, and comes back from peers.
 */
import { decodeShareKeys, encodeShareKeys, type ShareId, type ShareKeys } from '@cofolder/protocol'
import { openEntry, sealEntry } from './entry.ts'
import {
  type DamagedEntry,
  type Database,
  firstEntryKey,
  type LogEvents,
  logRange,
  type ReplicaLevel,
  ReplicaLog,
  sublevelOf,
} from './log.ts'
import { decodeRecord, encodeRecord, type ReplicaRecord } from './rest.ts'

/** Copies of what no peer can give back. */
const COPIES = ['a', 'b'] as const

const recordKey = (share: ShareId, copy: string): string => `record!${share}!${copy}`
const keysKey = (share: ShareId, copy: string): string => `keys!${share}!${copy}`

/** A record that was lost: the keys alone still lead to the share, over its members and its own settings. */
const unknownOrigin = (id: ShareId): ReplicaRecord => ({
  ...{ id, origin: 'joined', at: 0, name: '' },
  ...{ relays: [], devices: [], outbox: [], noticed: [] },
})

export interface StoredReplica {
  readonly record: ReplicaRecord
  readonly keys: ShareKeys
}

export interface StoredReplicas {
  readonly replicas: readonly StoredReplica[]
  readonly damaged: readonly DamagedEntry[]
}

export class ReplicaStore {
  readonly #db: Database
  readonly #level: ReplicaLevel

  constructor(db: Database) {
    this.#db = db
    this.#level = sublevelOf(db)
  }

  /** Every share whose record and keys can be read. A damaged copy is replaced by the good one. */
  async list(): Promise<StoredReplicas> {
    const damaged: DamagedEntry[] = []
    const records = await this.#readCopies('record', decodeRecord, damaged)
    const keys = await this.#readCopies('keys', decodeShareKeys, damaged)
    const replicas: StoredReplica[] = []
    for (const [share, held] of keys) {
      if (held.share !== share) continue
      const record = records.get(share)
      replicas.push({ record: record?.id === share ? record : unknownOrigin(held.share), keys: held })
    }
    if (damaged.length > 0) await this.#repair(replicas)
    return { replicas, damaged }
  }

  /** Writes a new share with its first update at once: nothing of it exists before, all of it after. */
  async create({ record, keys }: StoredReplica, update: Uint8Array): Promise<void> {
    const first = this.#put(firstEntryKey(record.id), update)
    await this.#db.batch([...this.#recordPuts(record), ...this.#keyPuts(keys), first], { sync: true })
  }

  async saveRecord(record: ReplicaRecord): Promise<void> {
    await this.#db.batch(this.#recordPuts(record), { sync: true })
  }

  async saveKeys(keys: ShareKeys): Promise<void> {
    await this.#db.batch(this.#keyPuts(keys), { sync: true })
  }

  log(share: ShareId, events: LogEvents): ReplicaLog {
    return new ReplicaLog(this.#db, share, events)
  }

  /** Deletes all of a share. Its log must be closed. */
  async forget(share: ShareId): Promise<void> {
    const keys = COPIES.flatMap((copy) => [recordKey(share, copy), keysKey(share, copy)])
    await this.#db.batch(
      keys.map((key) => ({ type: 'del' as const, sublevel: this.#level, key })),
      { sync: true },
    )
    await this.#level.clear(logRange(share))
  }

  async #readCopies<T>(
    kind: 'record' | 'keys',
    decode: (value: Uint8Array) => T,
    damaged: DamagedEntry[],
  ): Promise<Map<string, T>> {
    const found = new Map<string, T>()
    for await (const [key, value] of this.#level.iterator({ gt: `${kind}!`, lt: `${kind}!~` })) {
      const bytes = openEntry(key, value)
      if (!bytes) {
        damaged.push({ key, reason: 'checksum' })
        continue
      }
      try {
        const share = key.split('!')[1] ?? ''
        if (!found.has(share)) found.set(share, decode(bytes))
      } catch {
        damaged.push({ key, reason: 'malformed' })
      }
    }
    return found
  }

  async #repair(replicas: readonly StoredReplica[]): Promise<void> {
    for (const { record, keys } of replicas) {
      await this.#db.batch([...this.#recordPuts(record), ...this.#keyPuts(keys)], { sync: true })
    }
  }

  #recordPuts(record: ReplicaRecord) {
    return COPIES.map((copy) => this.#put(recordKey(record.id, copy), encodeRecord(record)))
  }

  #keyPuts(keys: ShareKeys) {
    return COPIES.map((copy) => this.#put(keysKey(keys.share, copy), encodeShareKeys(keys)))
  }

  #put(key: string, bytes: Uint8Array) {
    return {
      type: 'put' as const,
      sublevel: this.#level,
      key,
      value: sealEntry(key, bytes),
      valueEncoding: 'view' as const,
    }
  }
}
