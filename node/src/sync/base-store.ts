/**
 * A placement's memory in the profile's database: its base, its journal, and which folder its root is. What cannot
 * be read is left out and counted: a node missing from the base is matched with the share again by its content.
 */
import {
  ContentSchema,
  fromBase64url,
  type NodeId,
  NodeIdSchema,
  toBase64url,
  VersionIdSchema,
} from '@cofolder/protocol'
import type { Level } from 'level'
import * as v from 'valibot'
import { type BaseEntry, type LiveContent, PARKED } from './base.ts'
import type { Intent } from './journal.ts'

const BytesSchema = v.pipe(
  v.string(),
  v.regex(/^[A-Za-z0-9_-]*$/),
  v.transform((text) => fromBase64url(text)),
)
const SegmentSchema = v.pipe(
  v.tuple([v.number(), BytesSchema, BytesSchema]),
  v.transform(([size, sha256, infoHash]) => ({ size, sha256, infoHash })),
)
const StampSchema = v.pipe(
  v.tuple([v.number(), v.number(), v.string(), v.string(), v.string(), v.string(), v.number()]),
  v.transform(([size, mtimeMs, mtime, ctime, inode, birth, mode]) => {
    return { size, mtimeMs, mtime, ctime, inode, birth, mode }
  }),
)
const StoredContentSchema = v.union([
  v.pipe(
    v.tuple([v.number(), v.number(), v.boolean(), BytesSchema, v.array(SegmentSchema)]),
    v.transform(([size, mtime, executable, sha256, segments]) => {
      return { kind: 'file' as const, size, mtime, executable, sha256, segments }
    }),
  ),
  v.pipe(
    v.tuple([v.string()]),
    v.transform(([target]) => ({ kind: 'symlink' as const, target })),
  ),
  v.pipe(
    v.tuple([]),
    v.transform(() => ({ kind: 'folder' as const })),
  ),
])
const EntrySchema = v.object({
  node: NodeIdSchema,
  parent: v.union([v.literal(PARKED), NodeIdSchema]),
  name: v.string(),
  local: v.pipe(
    v.string(),
    v.check((name) => name !== '' && name !== '.' && name !== '..' && !/[/\0]/.test(name), 'not a name'),
  ),
  placedAt: v.number(),
  version: VersionIdSchema,
  parents: v.array(VersionIdSchema),
  content: v.pipe(
    StoredContentSchema,
    v.check((content) => v.is(ContentSchema, content), 'not content'),
  ),
  stamp: StampSchema,
})
const NamesSchema = v.array(v.pipe(v.string(), v.nonEmpty(), v.excludes('/'), v.notValues(['.', '..'])))
const IntentSchema = v.object({
  node: NodeIdSchema,
  from: v.optional(NamesSchema),
  to: v.optional(NamesSchema),
  object: v.optional(v.string()),
  after: v.optional(EntrySchema),
})
const RootSchema = v.object({ inode: v.string(), birth: v.string() })

/** The folder that was last synced, told from another one under the same path. */
export type RootIdentity = v.InferOutput<typeof RootSchema>

export interface StoredPlacement {
  readonly root: RootIdentity | undefined
  readonly entries: readonly BaseEntry[]
  readonly intents: ReadonlyMap<string, Intent>
  /** Entries that could not be read. */
  readonly damaged: number
}

export interface BaseChanges {
  readonly put?: readonly BaseEntry[]
  readonly del?: readonly NodeId[]
  /** Intents that are done with. */
  readonly done?: Iterable<string>
}

/** A part of the profile's database that belongs to one placement. */
export const placementLevel = (db: Level, name: string) =>
  db.sublevel<string, Uint8Array>(name, { keyEncoding: 'utf8', valueEncoding: 'view' })
export type PlacementLevel = ReturnType<typeof placementLevel>

/** Written through to the disk before the promise resolves. */
const DURABLE = { keyEncoding: 'utf8', sync: true } as const

const toBytes = (value: unknown): Uint8Array => Buffer.from(JSON.stringify(value))
const fromBytes = (bytes: Uint8Array): unknown => JSON.parse(Buffer.from(bytes).toString())

export class BaseStore {
  readonly #db: PlacementLevel

  constructor(db: PlacementLevel) {
    this.#db = db
  }

  async load(): Promise<StoredPlacement> {
    const entries: BaseEntry[] = []
    const intents = new Map<string, Intent>()
    let root: RootIdentity | undefined
    let damaged = 0
    for await (const [key, bytes] of this.#db.iterator()) {
      const [kind, id = ''] = key.split('!')
      try {
        const value: unknown = fromBytes(bytes)
        if (kind === 'base') entries.push(decodeEntry(id, value))
        else if (kind === 'intent') intents.set(id, v.parse(IntentSchema, value))
        else if (kind === 'root') root = v.parse(RootSchema, value)
      } catch {
        damaged++
      }
    }
    return { root, entries, intents, damaged }
  }

  async setRoot(root: RootIdentity): Promise<void> {
    await this.#db.batch([{ type: 'put', key: 'root', value: toBytes(root) }], DURABLE)
  }

  /** Durable when it resolves. */
  async begin(intents: ReadonlyMap<string, Intent>): Promise<void> {
    const puts = [...intents].map(([id, intent]) => {
      const value = { ...intent, ...(intent.after && { after: encodeEntry(intent.after) }) }
      return { type: 'put' as const, key: `intent!${id}`, value: toBytes(value) }
    })
    await this.#db.batch(puts, DURABLE)
  }

  /** All of it or nothing; durable when it resolves. */
  async commit({ put = [], del = [], done = [] }: BaseChanges): Promise<void> {
    const operations = [
      ...del.map((node) => ({ type: 'del' as const, key: `base!${node}` })),
      ...put.map((entry) => {
        return { type: 'put' as const, key: `base!${entry.node}`, value: toBytes(encodeEntry(entry)) }
      }),
      ...[...done].map((id) => ({ type: 'del' as const, key: `intent!${id}` })),
    ]
    if (operations.length > 0) await this.#db.batch(operations, DURABLE)
  }

  /** Forgets everything about the placement. */
  async clear(): Promise<void> {
    await this.#db.clear()
  }
}

function decodeEntry(id: string, value: unknown): BaseEntry {
  const entry = v.parse(EntrySchema, value)
  if (entry.node !== id) throw new TypeError('an entry under another key')
  return entry
}

function encodeEntry(entry: BaseEntry) {
  const { size, mtimeMs, mtime, ctime, inode, birth, mode } = entry.stamp
  return {
    ...entry,
    content: encodeContent(entry.content),
    stamp: [size, mtimeMs, mtime, ctime, inode, birth, mode],
  }
}

function encodeContent(content: LiveContent): readonly unknown[] {
  if (content.kind === 'folder') return []
  if (content.kind === 'symlink') return [content.target]
  const segments = content.segments.map(({ size, sha256, infoHash }) => {
    return [size, toBase64url(sha256), toBase64url(infoHash)]
  })
  return [content.size, content.mtime, content.executable, toBase64url(content.sha256), segments]
}
