/** What the accepted records say, in the order-independent form that everything else reads. */
import { encodeCbor } from '../encoding/cbor.ts'
import type { DeviceId, NodeId, VersionId } from '../ids.ts'
import type { AuthoredPlace, NodeFacts } from '../tree/facts.ts'
import type { AuthoredVersion } from '../tree/tree.ts'
import { resolveHeads } from '../versions/graph.ts'
import type { PlacementRecord, PlaceRecord, SettingsRecord, ShareRecord, VersionRecord } from './record.ts'

export interface RecordFacts {
  /** Takes in the records of one batch. The order of batches does not matter. */
  add(author: DeviceId, records: readonly ShareRecord[]): void
  /** Forgets everything. */
  clear(): void
  /** Nodes with a place and at least one known content. Brought up to date by each call. */
  nodes(): ReadonlyMap<NodeId, NodeFacts>
  /** Live nodes with several heads, as of the last call of `nodes`. */
  readonly conflicted: ReadonlySet<NodeId>
  readonly versions: ReadonlyMap<VersionId, AuthoredVersion>
  versionsOf(node: NodeId): readonly AuthoredVersion[]
  placeOf(node: NodeId): AuthoredPlace | undefined
  readonly settings: SettingsRecord | undefined
  readonly placements: ReadonlyMap<DeviceId, PlacementRecord>
}

interface Collected {
  place: AuthoredPlace | undefined
  versions: AuthoredVersion[]
}

export function createRecordFacts(): RecordFacts {
  const collected = new Map<NodeId, Collected>()
  const versions = new Map<VersionId, AuthoredVersion>()
  const nodes = new Map<NodeId, NodeFacts>()
  const conflicted = new Set<NodeId>()
  const changed = new Set<NodeId>()
  const placements = new Map<DeviceId, PlacementRecord>()
  let settings: { readonly record: SettingsRecord; readonly author: DeviceId } | undefined

  const collectedOf = (node: NodeId): Collected => {
    let found = collected.get(node)
    if (!found) {
      found = { place: undefined, versions: [] }
      collected.set(node, found)
    }
    changed.add(node)
    return found
  }

  const addPlace = (record: PlaceRecord, author: DeviceId) => {
    const place = { ...record, author }
    const found = collectedOf(record.node)
    if (!found.place || comparePlaceRecords(place, found.place) > 0) found.place = place
  }

  const addVersion = (record: VersionRecord, author: DeviceId) => {
    const version = { ...record, author }
    const found = collectedOf(record.node)
    const known = versions.get(record.id)
    const kept = known ? mergeVersions(known, version) : version
    versions.set(record.id, kept)
    if (known) found.versions = found.versions.map((other) => (other.id === kept.id ? kept : other))
    else found.versions.push(kept)
  }

  const refresh = (node: NodeId) => {
    const { place, versions: own } = collected.get(node) ?? { place: undefined, versions: [] }
    const heads = place && resolveHeads(own, place.at)
    if (place && heads) nodes.set(node, { node, place, ...heads })
    else nodes.delete(node)
    if (heads?.alive && heads.heads.length > 1) conflicted.add(node)
    else conflicted.delete(node)
  }

  return {
    add(author, records) {
      for (const record of records) {
        if (record.type === 'place') addPlace(record, author)
        else if (record.type === 'version') addVersion(record, author)
        else if (record.type === 'placement') {
          const known = placements.get(record.device)
          if (!known || comparePlacements(record, known) > 0) placements.set(record.device, record)
        } else if (!settings || compareSettings(record, author, settings) > 0) settings = { record, author }
      }
    },
    clear() {
      for (const map of [collected, versions, nodes, conflicted, changed, placements]) map.clear()
      settings = undefined
    },
    nodes() {
      for (const node of changed) refresh(node)
      changed.clear()
      return nodes
    },
    conflicted,
    versions,
    versionsOf: (node) => collected.get(node)?.versions ?? [],
    placeOf: (node) => collected.get(node)?.place,
    get settings() {
      return settings?.record
    },
    placements,
  }
}

const compareText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0)

/** By `at`, then device; the rest only decides between records one device wrote for one moment. */
function comparePlaceRecords(a: AuthoredPlace, b: AuthoredPlace): number {
  return (
    a.at - b.at ||
    compareText(a.author, b.author) ||
    compareText(a.name, b.name) ||
    compareText(a.parent, b.parent) ||
    compareText(a.kind, b.kind)
  )
}

function compareSettings(
  record: SettingsRecord,
  author: DeviceId,
  other: { readonly record: SettingsRecord; readonly author: DeviceId },
): number {
  return (
    record.at - other.record.at ||
    compareText(author, other.author) ||
    compareText(JSON.stringify(record), JSON.stringify(other.record))
  )
}

function comparePlacements(a: PlacementRecord, b: PlacementRecord): number {
  return a.at - b.at || compareText(JSON.stringify(a), JSON.stringify(b))
}

/**
 * One version that several devices wrote: the earliest author's words count (its id leaves open the time, the
 * segments), but a tombstone saw the latest place that any of them saw.
 */
function mergeVersions(a: AuthoredVersion, b: AuthoredVersion): AuthoredVersion {
  const first = compareVersionRecords(a, b) <= 0 ? a : b
  if (a.content.kind !== 'deleted' || b.content.kind !== 'deleted') return first
  return { ...first, content: { kind: 'deleted', place: Math.max(a.content.place, b.content.place) } }
}

function compareVersionRecords(a: AuthoredVersion, b: AuthoredVersion): number {
  return a.at - b.at || compareText(a.author, b.author) || compareBytes(encodeCbor(a), encodeCbor(b))
}

function compareBytes(a: Uint8Array, b: Uint8Array): number {
  const length = Math.min(a.length, b.length)
  for (let i = 0; i < length; i++) if (a[i] !== b[i]) return (a[i] ?? 0) - (b[i] ?? 0)
  return a.length - b.length
}
