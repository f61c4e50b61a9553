/**
 * The facts a share's document is made of. A record is immutable; a later one supersedes it. Records travel in
 * sealed, signed batches (`batch.ts`), so their author is known from the batch and not repeated here.
 */
import * as v from 'valibot'
import { DeviceIdSchema, NodeIdSchema, VersionIdSchema } from '../ids.ts'
import { MAX_NAME_LENGTH, MAX_PARENTS, MAX_SEGMENTS, MAX_TARGET_LENGTH } from '../limits.ts'

const Bytes = (length: number) =>
  v.custom<Uint8Array>((x) => x instanceof Uint8Array && x.length === length, `expected ${length} bytes`)
const Size = v.pipe(v.number(), v.safeInteger(), v.minValue(0))
/** Milliseconds since the epoch. May be any safe integer: clocks that are wrong are not an error. */
const Millis = v.pipe(v.number(), v.safeInteger())

/** SHA-256 of content. */
export type Sha256 = Uint8Array

/**
 * A piece of a large file that is one torrent of its own. `infoHash` (SHA-1, BEP 3) follows from the share's
 * content key, `sha256` and `size`, so every holder builds the same one.
 */
export const SegmentSchema = v.object({ size: Size, sha256: Bytes(32), infoHash: Bytes(20) })
export type Segment = v.InferOutput<typeof SegmentSchema>

/** A name as it stands in the share: Unicode NFC, one path component. */
export const NameSchema = v.custom<string>((x) => typeof x === 'string' && isShareName(x), 'not a valid name')

/** Whether a text can name a file in a share: NFC, not empty, not `.` or `..`, no `/`, no NUL, not over-long. */
export function isShareName(name: string): boolean {
  return (
    name.length > 0 &&
    name.length <= MAX_NAME_LENGTH &&
    name !== '.' &&
    name !== '..' &&
    !name.includes('/') &&
    !name.includes('\0') &&
    name.isWellFormed() &&
    name.normalize('NFC') === name
  )
}

export const NodeKindSchema = v.picklist(['file', 'folder', 'symlink'])
export type NodeKind = v.InferOutput<typeof NodeKindSchema>

/** Where a node hangs. Of several for one node the greatest (`at`, author device) holds. */
export const PlaceRecordSchema = v.object({
  type: v.literal('place'),
  node: NodeIdSchema,
  kind: NodeKindSchema,
  parent: NodeIdSchema,
  name: NameSchema,
  at: Millis,
})
export type PlaceRecord = v.InferOutput<typeof PlaceRecordSchema>

/** What a version holds. */
export const ContentSchema = v.variant('kind', [
  v.object({
    kind: v.literal('file'),
    size: Size,
    mtime: Millis,
    executable: v.boolean(),
    sha256: Bytes(32),
    /** In order; empty for a file below the segment threshold, which travels in packs. */
    segments: v.pipe(v.array(SegmentSchema), v.maxLength(MAX_SEGMENTS)),
  }),
  v.object({
    kind: v.literal('symlink'),
    target: v.pipe(v.string(), v.minLength(1), v.maxLength(MAX_TARGET_LENGTH)),
  }),
  v.object({ kind: v.literal('folder') }),
  /**
   * The node was deleted. `place` is the `at` of the place record its author saw: a rename the author had not
   * seen keeps the node alive. The version's parents are the heads it covers: an edit not among them wins.
   */
  v.object({ kind: v.literal('deleted'), place: Millis }),
])
export type Content = v.InferOutput<typeof ContentSchema>
export type FileContent = Extract<Content, { kind: 'file' }>

/** One immutable version of a node. `id` must equal `versionId(record)`. */
export const VersionRecordSchema = v.object({
  type: v.literal('version'),
  id: VersionIdSchema,
  node: NodeIdSchema,
  parents: v.pipe(v.array(VersionIdSchema), v.maxLength(MAX_PARENTS)),
  content: ContentSchema,
  at: Millis,
})
export type VersionRecord = v.InferOutput<typeof VersionRecordSchema>

/** The share's own settings; the greatest (`at`, author device) by an owner holds. */
export const SettingsRecordSchema = v.object({
  type: v.literal('settings'),
  name: NameSchema,
  /** Base URLs of relays that carry this share, most wanted first. */
  relays: v.pipe(v.array(v.pipe(v.string(), v.url(), v.maxLength(300))), v.maxLength(8)),
  at: Millis,
})
export type SettingsRecord = v.InferOutput<typeof SettingsRecordSchema>

/** What the other members may know of where one device keeps the share. */
export const PlacementRecordSchema = v.object({
  type: v.literal('placement'),
  device: DeviceIdSchema,
  where: v.picklist(['local', 'provider', 'link', 'none']),
  /** A word for people, for example the provider's kind; never a path. */
  label: v.pipe(v.string(), v.maxLength(100)),
  mode: v.picklist(['copy', 'move', 'one-way', 'two-way']),
  at: Millis,
})
export type PlacementRecord = v.InferOutput<typeof PlacementRecordSchema>

export const ShareRecordSchema = v.variant('type', [
  PlaceRecordSchema,
  VersionRecordSchema,
  SettingsRecordSchema,
  PlacementRecordSchema,
])
export type ShareRecord = v.InferOutput<typeof ShareRecordSchema>
