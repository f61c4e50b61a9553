/**
 * The records that end every conflict. Pure, and made only of what the conflict is made of, so that all devices
 * which settle it write the same records and nothing breeds.
 */
import { toBase64url } from '../bytes.ts'
import type { DeviceId, NodeId, VersionId } from '../ids.ts'
import { MAX_PARENTS } from '../limits.ts'
import type { PlaceRecord, ShareRecord, VersionRecord } from '../records/record.ts'
import { comparePlaces, type NodeFacts } from '../tree/facts.ts'
import { conflictName } from '../tree/names.ts'
import type { AuthoredVersion } from '../tree/tree.ts'
import { ancestry, sameContent } from './graph.ts'
import { conflictNodeId, versionId } from './id.ts'

export interface SettleInput {
  /** Live nodes with several heads. */
  readonly conflicts: Iterable<NodeFacts>
  /** Nodes that claim one name in one folder. */
  readonly collisions: Iterable<readonly NodeFacts[]>
  readonly versions: ReadonlyMap<VersionId, AuthoredVersion>
  /** Whether anything is known of a node already. */
  readonly isKnown: (node: NodeId) => boolean
  readonly personOf: (device: DeviceId) => string
}

export function settle(input: SettleInput): ShareRecord[] {
  const records: ShareRecord[] = []
  for (const facts of input.conflicts) for (const record of settleHeads(facts, input)) records.push(record)
  for (const claimants of input.collisions) for (const record of settleTwins(claimants)) records.push(record)
  return records
}

/** One version joins the heads with the winner's content; what a loser brought that is nowhere else gets a copy. */
function settleHeads(facts: NodeFacts, input: SettleInput): ShareRecord[] {
  const heads = facts.heads.slice(0, MAX_PARENTS)
  const [winner, ...losers] = heads
  if (!winner || losers.length === 0) return []
  const parents = heads.map(({ id }) => id).sort()
  const joined = { node: facts.node, parents, content: winner.content }
  const at = Math.max(...heads.map((head) => head.at))
  const records: ShareRecord[] = [{ type: 'version', id: versionId(joined), ...joined, at }]

  const handled = ancestry(input.versions, winner.id)
  const kept = [winner]
  for (const loser of losers) {
    const origin = originOf(loser, input.versions)
    // What the winner builds on was settled before, or replaced by somebody who had seen it.
    if (handled.has(origin.id) || kept.some(({ content }) => sameContent(content, origin.content))) continue
    kept.push(origin)
    records.push(...conflictCopy(facts, origin, input))
  }
  return records
}

/** Where a content came from: a version that only joined others has it from one of them. */
function originOf(
  version: AuthoredVersion,
  versions: ReadonlyMap<VersionId, AuthoredVersion>,
): AuthoredVersion {
  let origin = version
  for (;;) {
    const { content } = origin
    const [source] = origin.parents
      .map((id) => versions.get(id))
      .filter((parent) => parent !== undefined)
      .filter((parent) => sameContent(parent.content, content))
      .sort((a, b) => (a.id < b.id ? -1 : 1))
    if (!source) return origin
    origin = source
  }
}

function conflictCopy(facts: NodeFacts, loser: AuthoredVersion, input: SettleInput): ShareRecord[] {
  const { content, at } = loser
  if (content.kind !== 'file' && content.kind !== 'symlink') return []
  const node = conflictNodeId(facts.node, loser.id)
  if (input.isKnown(node)) return []
  const { name: original, parent } = facts.place
  const name = conflictName(original, { folder: false, person: input.personOf(loser.author), at })
  const place: PlaceRecord = { type: 'place', node, kind: content.kind, parent, name, at }
  const copy = { node, parents: [], content }
  const version: VersionRecord = { type: 'version', id: versionId(copy), ...copy, at }
  return [place, version]
}

/** Of files that claim one name and have one content, the oldest stays. */
function settleTwins(claimants: readonly NodeFacts[]): ShareRecord[] {
  const records: ShareRecord[] = []
  const staying = new Set<string>()
  for (const facts of claimants.toSorted(comparePlaces)) {
    const { content } = facts.head
    if (!facts.alive || facts.heads.length > 1 || (content.kind !== 'file' && content.kind !== 'symlink'))
      continue
    const words = content.kind === 'file' ? `file ${toBase64url(content.sha256)}` : `link ${content.target}`
    if (!staying.has(words)) {
      staying.add(words)
      continue
    }
    const gone = {
      node: facts.node,
      parents: [facts.head.id],
      content: { kind: 'deleted', place: facts.place.at } as const,
    }
    records.push({ type: 'version', id: versionId(gone), ...gone, at: facts.head.at })
  }
  return records
}
