/**
 * What is to be done so that placement and share agree: a pure, total function of what they last agreed on (base),
 * what the placement holds now (local, as differences from the base) and what the share holds (remote).
 *
 * It goes node by node; where a node hangs and what it contains are decided apart. What the placement has to say
 * comes first (`agree`): until that is written and the base has learnt of it, nothing of `steps` is carried out. So:
 * carry out `agree`, plan again with `left`, and when nothing is left to agree on, carry out `steps`.
 */
import {
  type NodeId,
  ROOT_NODE,
  type ShareRecord,
  type ShareTree,
  type TreeEntry,
  type VersionId,
  type VersionRecord,
} from '@cofolder/protocol'
import {
  type BaseEntry,
  type BaseParent,
  type BaseTree,
  type LiveContent,
  PARKED,
  type Stamp,
  sameBytesAs,
  sameContent,
} from './base.ts'
import type { Finding, Fresh, LocalTree } from './match.ts'
import { shareName } from './names.ts'

/** The share, as far as planning needs it. */
export interface Remote {
  readonly tree: ShareTree
  /** Whether a version is in the share at all, holding or not. */
  knows(version: VersionId): boolean
  /** The greatest `at` of any place record of a node, 0 when there is none. */
  placedAt(node: NodeId): number
}

export interface Policy {
  readonly mode: 'copy' | 'move' | 'one-way' | 'two-way'
  /** False for a viewer: his changes stay his, and the share's state comes back. */
  readonly mayWrite: boolean
  /** Whether the volume keeps executable bits; where it does not, they are no difference. */
  readonly executable: boolean
  /** Milliseconds since the epoch. */
  readonly now: number
  readonly versionId: (version: Pick<VersionRecord, 'node' | 'parents' | 'content'>) => VersionId
}

/** The placement learns or tells: no file is touched. */
export type Agreement =
  /** Records for the share, and what the base says once they are written; undefined when the node is forgotten. */
  | {
      readonly do: 'publish'
      readonly change: 'create' | 'modify' | 'move' | 'delete'
      readonly node: NodeId
      readonly records: readonly ShareRecord[]
      readonly after: BaseEntry | undefined
    }
  | { readonly do: 'adopt'; readonly entry: BaseEntry }
  | { readonly do: 'forget'; readonly node: NodeId }
  /** One local thing is from now on known as another node, and what is in it with it. */
  | { readonly do: 'rekey'; readonly from: NodeId; readonly entry: BaseEntry }

/** The placement follows the share. `entry` is what the share wants. */
export type Step =
  | { readonly do: 'fetch'; readonly entry: TreeEntry }
  | {
      readonly do: 'make-folder' | 'make-link' | 'set-executable' | 'move'
      readonly entry: TreeEntry
    }
  | { readonly do: 'remove'; readonly node: NodeId }
  /** A local change that may not be published gets another name, under which nothing knows it. */
  | {
      readonly do: 'set-aside'
      readonly node: NodeId
      readonly parent: NodeId
      readonly local: string
      readonly stamp: Stamp
    }

export interface Plan {
  readonly agree: readonly Agreement[]
  /** What remains of the local tree once `agree` is carried out. */
  readonly left: LocalTree
  readonly steps: readonly Step[]
}

type Present = Extract<Finding, { state: 'present' }> & { readonly content: LiveContent }

export function plan(base: BaseTree, local: LocalTree, remote: Remote, policy: Policy): Plan {
  const { tree } = remote
  const agree: Agreement[] = []
  const steps: Step[] = []
  const leftKnown = new Map<NodeId, Finding>()
  const leftFresh: Fresh[] = []
  /** Nodes of the share that something here stands for, though the base may not say so yet. */
  const taken = new Set<NodeId>()
  /** The nodes that fresh folders turned out to be. */
  const became = new Map<NodeId, NodeId>()

  for (const { node } of base.entries()) taken.add(remoteOf(node)?.node ?? node)
  for (const item of local.fresh)
    if (item.content !== 'unknown' && item.content.kind === 'folder') recognise(item)
  for (const entry of base.entries()) {
    const finding = local.known.get(entry.node)
    const at = remoteOf(entry.node)
    if (!finding && at && isAgreed(entry, at)) continue
    if (!finding) follow(entry, at)
    else if (finding.state === 'missing') tellGone(entry, at)
    else if (isTold(finding)) tellChange(entry, { ...finding, parent: nodeOf(finding.parent) }, at)
    else leftKnown.set(entry.node, finding)
  }
  for (const item of local.fresh) tellFresh({ ...item, parent: nodeOf(item.parent) })
  for (const entry of tree.byPath.values()) {
    if (taken.has(entry.node)) continue
    if (entry.kind === 'file') steps.push({ do: 'fetch', entry })
    else steps.push({ do: entry.kind === 'folder' ? 'make-folder' : 'make-link', entry })
  }
  return { agree, left: { known: leftKnown, fresh: leftFresh }, steps }

  // What the placement has to say.

  /** A delete covers what its author had seen: an edit or rename that he had not seen brings the node back. */
  function tellGone(entry: BaseEntry, at: TreeEntry | undefined): void {
    const { node, version, placedAt } = entry
    const seen = at?.node === node && at.head.id === version && at.placedAt <= placedAt
    if (!seen || !policy.mayWrite) {
      agree.push({ do: 'forget', node })
      return
    }
    const content = { kind: 'deleted' as const, place: placedAt }
    const parents = [version]
    const id = policy.versionId({ node, parents, content })
    const record: VersionRecord = { type: 'version', id, node, parents, content, at: policy.now }
    agree.push({ do: 'publish', change: 'delete', node, records: [record], after: undefined })
  }

  function tellChange(entry: BaseEntry, finding: Present, at: TreeEntry | undefined): void {
    const { node } = entry
    const { content, parent, local: localName, stamp } = finding
    const renamed = localName !== entry.local
    const name = renamed ? (shareName(localName) ?? entry.name) : entry.name
    const moved = parent !== entry.parent || renamed
    const here = { ...entry, parent, local: localName, name, stamp }
    const changed = !same(content, entry.content)
    if (changed && at && same(at.head.content, content)) {
      agree.push({ do: 'adopt', entry: withHead(here, at) })
    } else if (changed && !policy.mayWrite && !sameBytesAs(content, entry.content)) {
      leftKnown.set(node, finding)
      steps.push({ do: 'set-aside', node, parent, local: localName, stamp })
    } else if (!policy.mayWrite) {
      // Noted as it is; the share's place and executable bit come back with steps.
      agree.push({ do: 'adopt', entry: { ...here, content } })
    } else {
      // Renamed on both sides: the share's place holds, and a step will follow it.
      const placing = moved && !(at && isElsewhere(entry, at)) && !(at && !isElsewhere(here, at))
      const placed = placing ? { ...here, placedAt: nextPlace(node) } : here
      const after = changed ? withContent(placed, [entry.version], content) : placed
      const records = [...(placing ? [placeOf(after)] : []), ...(changed ? [versionOf(after)] : [])]
      if (records.length === 0) agree.push({ do: 'adopt', entry: after })
      else agree.push({ do: 'publish', change: changed ? 'modify' : 'move', node, records, after })
    }
  }

  /** A fresh folder that the share has in the same place, put there by somebody else, is that folder. */
  function recognise(item: Fresh): void {
    const twin = twinOf({ ...item, parent: nodeOf(item.parent) })
    if (twin?.kind !== 'folder') return
    taken.add(twin.node)
    became.set(item.node, twin.node)
  }

  function tellFresh(item: Fresh): void {
    const { content, stamp, parent, local: localName } = item
    const name = shareName(localName)
    const twin = tree.byNode.get(became.get(item.node) ?? item.node) ?? twinOf(item)
    if (content === 'unknown' || name === undefined) {
      leftFresh.push(item)
      if (twin) taken.add(twin.node)
      return
    }
    const node = twin && content.kind === twin.kind && content.kind !== 'symlink' ? twin.node : item.node
    const placedAt = node === item.node ? nextPlace(node) : (twin?.placedAt ?? 0)
    const bare = { node, parent, name, local: localName, placedAt, stamp, ...NO_VERSION, content }
    if (twin && same(twin.head.content, content)) {
      taken.add(twin.node)
      agree.push({
        do: 'adopt',
        entry: withHead({ ...bare, node: twin.node, placedAt: twin.placedAt }, twin),
      })
    } else if (!policy.mayWrite) {
      leftFresh.push(item)
      if (!twin) return
      taken.add(twin.node)
      steps.push({ do: 'set-aside', node: item.node, parent, local: localName, stamp })
    } else {
      const after = withContent(bare, [], content)
      // Made on both sides with different content: two heads of one file, settled like any conflict.
      if (node === twin?.node) {
        taken.add(node)
        agree.push({ do: 'publish', change: 'modify', node, records: [versionOf(after)], after })
      } else {
        const records = [placeOf(after), versionOf(after)]
        agree.push({ do: 'publish', change: 'create', node, records, after })
      }
    }
  }

  // What the share has to say.

  function follow(entry: BaseEntry, at: TreeEntry | undefined): void {
    const { node } = entry
    const lost = policy.mayWrite ? lostRecords(entry, at) : []
    if (lost.length > 0) agree.push({ do: 'publish', change: 'create', node, records: lost, after: entry })
    else if (at) followEntry(entry, at)
    else {
      const heir = unclaimedAt(entry.parent, entry.name)
      if (heir && same(heir.head.content, entry.content)) {
        // Two people made one thing: one of the two nodes was given up for the other.
        taken.add(heir.node)
        agree.push({ do: 'rekey', from: node, entry: withHead({ ...entry, placedAt: heir.placedAt }, heir) })
      } else if (remote.knows(entry.version)) steps.push({ do: 'remove', node })
    }
  }

  function followEntry(entry: BaseEntry, at: TreeEntry): void {
    const { content } = at.head
    const elsewhere = isElsewhere(entry, at)
    if (at.node !== entry.node) {
      agree.push({ do: 'rekey', from: entry.node, entry: withHead({ ...entry, placedAt: at.placedAt }, at) })
      return
    }
    if (content.kind !== entry.content.kind) {
      steps.push({ do: 'remove', node: entry.node })
      return
    }
    if (elsewhere) steps.push({ do: 'move', entry: at })
    else if (entry.placedAt !== at.placedAt) {
      agree.push({ do: 'adopt', entry: withHeadIfSame({ ...entry, placedAt: at.placedAt }, at) })
      return
    }
    if (same(content, entry.content)) {
      if (at.head.id !== entry.version) agree.push({ do: 'adopt', entry: withHead(entry, at) })
    } else if (content.kind === 'symlink') steps.push({ do: 'make-link', entry: at })
    else if (sameBytesAs(content, entry.content)) steps.push({ do: 'set-executable', entry: at })
    else steps.push({ do: 'fetch', entry: at })
  }

  /** What was once written and the share knows no more (a database that was restored, say) is told again. */
  function lostRecords(entry: BaseEntry, at: TreeEntry | undefined): ShareRecord[] {
    const placed = at?.node === entry.node ? at.placedAt : remote.placedAt(entry.node)
    const known = at?.head.id === entry.version || remote.knows(entry.version)
    return [...(placed < entry.placedAt ? [placeOf(entry)] : []), ...(known ? [] : [versionOf(entry)])]
  }

  // Small words.

  function nodeOf(parent: NodeId): NodeId {
    return became.get(parent) ?? parent
  }
  /** The share's entry that stands for a base node: its own, or the folder it is merged with. */
  function remoteOf(node: NodeId): TreeEntry | undefined {
    const entry = tree.byNode.get(node)
    return entry === undefined || entry.node === node || !base.get(entry.node) ? entry : undefined
  }
  function unclaimedAt(parent: BaseParent, name: string): TreeEntry | undefined {
    const folder = parent === ROOT_NODE || parent === PARKED ? undefined : tree.byNode.get(parent)
    if (parent !== ROOT_NODE && !folder) return undefined
    const entry = tree.byPath.get(folder ? `${folder.path}/${name}` : name)
    return entry && !taken.has(entry.node) ? entry : undefined
  }
  function twinOf(item: Fresh): TreeEntry | undefined {
    const name = shareName(item.local)
    return name === undefined ? undefined : unclaimedAt(item.parent, name)
  }
  function isElsewhere(entry: BaseEntry, at: TreeEntry): boolean {
    if (entry.name !== at.name) return true
    if (entry.parent === at.parent) return false
    return entry.parent === PARKED || tree.byNode.get(entry.parent)?.node !== at.parent
  }
  function nextPlace(node: NodeId): number {
    return Math.max(policy.now, remote.placedAt(node) + 1)
  }
  function same(a: Parameters<typeof sameContent>[0], b: LiveContent): boolean {
    return policy.executable ? sameContent(a, b) : sameBytesAs(a, b)
  }
  function withContent(entry: BaseEntry, parents: readonly VersionId[], content: LiveContent): BaseEntry {
    const version = policy.versionId({ node: entry.node, parents: [...parents], content })
    return { ...entry, parents, content, version }
  }
  function withHeadIfSame(entry: BaseEntry, at: TreeEntry): BaseEntry {
    return same(at.head.content, entry.content) ? withHead(entry, at) : entry
  }
  function versionOf({ node, version: id, parents, content }: BaseEntry): VersionRecord {
    return { type: 'version', id, node, parents: [...parents], content, at: policy.now }
  }
}

const NO_VERSION = { version: '' as VersionId, parents: [] as const }

/** By far the most nodes: nothing happened on either side. */
const isAgreed = (entry: BaseEntry, at: TreeEntry): boolean =>
  entry.version === at.head.id &&
  entry.placedAt === at.placedAt &&
  entry.name === at.name &&
  entry.parent === at.parent &&
  entry.node === at.node

const isTold = (finding: Finding): finding is Present =>
  finding.state === 'present' && finding.content !== 'unknown'

function placeOf({ node, content, parent, name, placedAt: at }: BaseEntry): ShareRecord {
  return { type: 'place', node, kind: content.kind, parent: parent === PARKED ? ROOT_NODE : parent, name, at }
}

/** The entry once it is agreed that it holds what the share's entry holds. Where it hangs is another question. */
function withHead(entry: BaseEntry, { node, head }: TreeEntry): BaseEntry {
  const content = head.content.kind === 'deleted' ? entry.content : head.content
  return { ...entry, node, version: head.id, parents: head.parents, content }
}
