/**
 * One record as it travels: an array without field names. A version's id follows from the rest and is not sent.
 */
import * as v from 'valibot'
import { parse } from '../encoding/cbor.ts'
import { ProtocolError } from '../errors.ts'
import { ROOT_NODE } from '../ids.ts'
import { versionId } from '../versions/id.ts'
import {
  type Content,
  type NodeKind,
  PlacementRecordSchema,
  PlaceRecordSchema,
  SettingsRecordSchema,
  type ShareRecord,
  VersionRecordSchema,
} from './record.ts'

const PLACE = 1
const VERSION = 2
const SETTINGS = 3
const PLACEMENT = 4
const FILE = 1
const SYMLINK = 2
const FOLDER = 3
const DELETED = 4

/** By the number that stands for each. */
export const KINDS: readonly NodeKind[] = ['file', 'folder', 'symlink']
const VersionFieldsSchema = v.omit(VersionRecordSchema, ['id'])

export function packRecord(record: ShareRecord): readonly unknown[] {
  switch (record.type) {
    case 'place':
      return [PLACE, record.node, KINDS.indexOf(record.kind), record.parent, record.name, record.at]
    case 'version':
      return [VERSION, record.node, record.parents, packContent(record.content), record.at]
    case 'settings':
      return [SETTINGS, record.name, record.relays, record.at]
    case 'placement':
      return [PLACEMENT, record.device, record.where, record.label, record.mode, record.at]
  }
}

/** @throws ProtocolError `malformed` */
export function unpackRecord(packed: unknown): ShareRecord {
  const [type, ...f] = list(packed)
  switch (type) {
    case PLACE: {
      const kind = typeof f[1] === 'number' ? KINDS[f[1]] : undefined
      const place = { type: 'place', node: f[0], kind, parent: f[2], name: f[3], at: f[4] }
      return notRoot(parse(PlaceRecordSchema, exactly(5, f, place)))
    }
    case VERSION: {
      const fields = { type: 'version', node: f[0], parents: f[1], content: unpackContent(f[2]), at: f[3] }
      const version = notRoot(parse(VersionFieldsSchema, exactly(4, f, fields)))
      return { ...version, id: versionId(version) }
    }
    case SETTINGS:
      return parse(
        SettingsRecordSchema,
        exactly(3, f, { type: 'settings', name: f[0], relays: f[1], at: f[2] }),
      )
    case PLACEMENT: {
      const placement = { type: 'placement', device: f[0], where: f[1], label: f[2], mode: f[3], at: f[4] }
      return parse(PlacementRecordSchema, exactly(5, f, placement))
    }
    default:
      throw new ProtocolError('malformed', 'not a record')
  }
}

/** Checks a record that is about to be written. @throws ProtocolError `malformed` */
export function checkRecord(record: ShareRecord): void {
  const unpacked = unpackRecord(packRecord(record))
  if (record.type === 'version' && unpacked.type === 'version' && record.id !== unpacked.id) {
    throw new ProtocolError('malformed', 'the version has not the id that follows from it')
  }
}

function packContent(content: Content): readonly unknown[] {
  switch (content.kind) {
    case 'file': {
      const segments = content.segments.map(({ size, sha256, infoHash }) => [size, sha256, infoHash])
      return [FILE, content.size, content.mtime, content.executable, content.sha256, segments]
    }
    case 'symlink':
      return [SYMLINK, content.target]
    case 'folder':
      return [FOLDER]
    case 'deleted':
      return [DELETED, content.place]
  }
}

function unpackContent(packed: unknown): unknown {
  const [type, ...f] = list(packed)
  switch (type) {
    case FILE: {
      const segments = list(f[4]).map((segment) => {
        const [size, sha256, infoHash, ...more] = list(segment)
        return exactly(0, more, { size, sha256, infoHash })
      })
      return exactly(5, f, {
        kind: 'file',
        size: f[0],
        mtime: f[1],
        executable: f[2],
        sha256: f[3],
        segments,
      })
    }
    case SYMLINK:
      return exactly(1, f, { kind: 'symlink', target: f[0] })
    case FOLDER:
      return exactly(0, f, { kind: 'folder' })
    case DELETED:
      return exactly(1, f, { kind: 'deleted', place: f[0] })
    default:
      throw new ProtocolError('malformed', 'not content')
  }
}

function list(value: unknown): readonly unknown[] {
  if (!Array.isArray(value)) throw new ProtocolError('malformed', 'expected a list')
  return value
}

/** One value has one form: a list with more in it would be signed and hashed as something else. */
function exactly<T>(length: number, fields: readonly unknown[], value: T): T {
  if (fields.length !== length) throw new ProtocolError('malformed', `expected ${length} fields`)
  return value
}

function notRoot<T extends { node: string }>(record: T): T {
  if (record.node === ROOT_NODE) throw new ProtocolError('malformed', 'the root is no record')
  return record
}
