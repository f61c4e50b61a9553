/** What the accepted records say, in the order-independent form that everything else reads. */
import { encodeCbor } from '../encoding/cbor.ts'
import type { DeviceId, NodeId, VersionId } from '../ids.ts'
import type { AuthoredPlace, FactsChange, NodeFacts } from '../tree/facts.ts'
import type { AuthoredVersion } from '../tree/tree.ts'
import { resolveHeads } from '../versions/graph.ts'
import type { AuthoredRecord } from './columns.ts'
import type { PlacementRecord, SettingsRecord } from './record.ts'

export interface RecordFacts {
  /** Takes in the records of one batch. The order of batches does not matter. */
  add(records: readonly AuthoredRecord[]): void
  /** Forgets everything. */
  clear(): void
  /** What became of nodes since the last call; undefined when there was a `clear` in between. */
  refresh(): readonly FactsChange[] | undefined
  /** Nodes with a place and at least one known content, as of the last `refresh`. */
  nodes(): readonly NodeFacts[]
  node(id: NodeId): NodeFacts | undefined
  /** Live nodes with several heads, as of the last `refresh`. */
  readonly conflicted: ReadonlySet<NodeId>
  readonly versions: ReadonlyMap<VersionId, AuthoredVersion>
  versionsOf(node: NodeId): readonly AuthoredVersion[]
  placeOf(node: NodeId): AuthoredPlace | undefined
  readonly settings: SettingsRecord | undefined
  readonly placements: ReadonlyMap<DeviceId, PlacementRecord>
}

type AuthoredSettings = SettingsRecord & { readonly author: DeviceId }

interface Collected {
  readonly node: NodeId
  place: AuthoredPlace | undefined
  versions: readonly AuthoredVersion[]
  facts: NodeFacts | undefined
}

const NO_VERSIONS: readonly AuthoredVersion[] = []

export function createRecordFacts(): RecordFacts {
  const collected = new Map<NodeId, Collected>()
  const versions = new Map<VersionId, AuthoredVersion>()
  const conflicted = new Set<NodeId>()
  const changed = new Set<Collected>()
  let isCleared = false
  const placements = new Map<DeviceId, PlacementRecord>()
  let settings: AuthoredSettings | undefined

  const collectedOf = (node: NodeId): Collected => {
    let found = collected.get(node)
    if (!found) {
      found = { node, place: undefined, versions: NO_VERSIONS, facts: undefined }
      collected.set(node, found)
    }
    changed.add(found)
    return found
  }

  const addPlace = (place: AuthoredPlace) => {
    const found = collectedOf(place.node)
    if (!found.place || comparePlaceRecords(place, found.place) > 0) found.place = place
  }

  const addVersion = (version: AuthoredVersion) => {
    const found = collectedOf(version.node)
    const known = versions.get(version.id)
    const kept = known ? mergeVersions(known, version) : version
    versions.set(version.id, kept)
    if (known) found.versions = found.versions.map((other) => (other.id === kept.id ? kept : other))
    else found.versions = found.versions.length === 0 ? [kept] : [...found.versions, kept]
  }

  const renew = (found: Collected): FactsChange => {
    const { node, place, versions: own, facts: before } = found
    const heads = place && resolveHeads(own, place.at)
    found.facts = place && heads && { node, place, ...heads }
    if (heads?.alive && heads.heads.length > 1) conflicted.add(node)
    else conflicted.delete(node)
    return { before, after: found.facts }
  }

  return {
    add(records) {
      for (const record of records) {
        switch (record.type) {
          case 'place':
            addPlace(record)
            break
          case 'version':
            addVersion(record)
            break
          case 'placement': {
            const known = placements.get(record.device)
            if (!known || comparePlacements(record, known) > 0) placements.set(record.device, record)
            break
          }
          case 'settings':
            if (!settings || compareSettings(record, settings) > 0) settings = record
        }
      }
    },
    clear() {
      for (const map of [collected, versions, conflicted, changed, placements]) map.clear()
      settings = undefined
      isCleared = true
    },
    refresh() {
      const changes = Array.from(changed, renew)
      changed.clear()
      const complete = !isCleared
      isCleared = false
      return complete ? changes : undefined
    },
    nodes() {
      const nodes: NodeFacts[] = []
      for (const { facts } of collected.values()) if (facts) nodes.push(facts)
      return nodes
    },
    node: (id) => collected.get(id)?.facts,
    conflicted,
    versions,
    versionsOf: (node) => collected.get(node)?.versions ?? NO_VERSIONS,
    placeOf: (node) => collected.get(node)?.place,
    get settings() {
      return settings
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

function compareSettings(a: AuthoredSettings, b: AuthoredSettings): number {
  return a.at - b.at || compareText(a.author, b.author) || compareText(JSON.stringify(a), JSON.stringify(b))
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
