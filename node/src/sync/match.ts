/**
 * Tells what became of each node: what was seen in the folder is matched with the base, by name first and by file
 * system object where a name says nothing. So an editor that saves by renaming changes a file, a renamed folder is
 * one change whatever is in it, and a file moved and edited at once is still the same file. Pure.
 */
import { type NodeId, ROOT_NODE } from '@cofolder/protocol'
import {
  type BaseEntry,
  type BaseTree,
  type LiveContent,
  objectOf,
  PARKED,
  type Stamp,
  sameBytes,
  sameObject,
  sameStamp,
} from './base.ts'
import type { Seen, SeenFolder } from './observe.ts'

/** A node of the base as it is now, where that differs from the base. */
export type Finding =
  | {
      readonly state: 'present'
      readonly parent: NodeId
      readonly local: string
      /** Where it was seen: names from the root, joined by `/`. */
      readonly path: string
      readonly stamp: Stamp
      /** `unknown` until a digest tells. */
      readonly content: LiveContent | 'unknown'
    }
  | { readonly state: 'missing' }
  /** Nothing may be concluded about it, and nothing done to it. */
  | { readonly state: 'busy' }

/** Something the base does not know. Its node id is provisional until it is published or adopted. */
export interface Fresh {
  readonly node: NodeId
  readonly parent: NodeId
  readonly local: string
  /** Where it was seen: names from the root, joined by `/`. */
  readonly path: string
  readonly stamp: Stamp
  readonly content: LiveContent | 'unknown'
  /** Its content cannot be told now; it will be looked at again. */
  readonly busy?: boolean
}

/** The local tree as its differences from the base. A node that is in neither is as the base says. */
export interface LocalTree {
  readonly known: ReadonlyMap<NodeId, Finding>
  /** Folders before what is in them. */
  readonly fresh: readonly Fresh[]
}

/** What a look at the folder tells: the differences, and which nodes were seen to be there. */
export interface Matched extends LocalTree {
  readonly seen: { has(node: NodeId): boolean }
}

export const NO_DIFFERENCES: LocalTree = { known: new Map(), fresh: [] }

export interface MatchOptions {
  /** Whether the volume keeps executable bits. */
  readonly executable: boolean
  readonly newNode: () => NodeId
}

type Sight = Exclude<Seen, { kind: 'unreadable' }>

/** Something seen with its place; `parent` undefined until the folder it is in has got its node. */
interface Sighting {
  readonly seen: Sight
  readonly parent: NodeId
  readonly local: string
  /** Of the folder, with a `/` at the end. */
  readonly folder: string
}

export function matchWithBase(base: BaseTree, root: SeenFolder, options: MatchOptions): Matched {
  const folderObjects = foldersByObject(root)
  const claimed = new Map<NodeId, Sighting>()
  const busy = new Set<NodeId>()
  const unmatched: { readonly node: NodeId; readonly sighting: Sighting }[] = []
  const vanished: BaseEntry[] = []
  /** A name that could not be looked at may be any node that is not where it was. */
  let unexplained = false

  /** The node a folder is, wherever it was moved; one that is new in its place otherwise. */
  const folderNode = (sighting: Sighting): BaseEntry | undefined => {
    const moved = base.byObject(sighting.seen.stamp)
    if (moved?.content.kind === 'folder' && moved.parent !== PARKED && !claimed.has(moved.node)) {
      if (folderObjects.get(objectOf(moved.stamp)) === sighting.seen) return moved
    }
    const named = base.child(sighting.parent, sighting.local)
    if (named?.content.kind !== 'folder' || claimed.has(named.node)) return undefined
    return folderObjects.has(objectOf(named.stamp)) && !sameObject(named.stamp, sighting.seen.stamp)
      ? undefined
      : named
  }

  const fileNode = (sighting: Sighting): BaseEntry | undefined => {
    const named = base.child(sighting.parent, sighting.local)
    return named?.content.kind === sighting.seen.kind && !claimed.has(named.node) ? named : undefined
  }

  const walk = (folder: SeenFolder, parent: NodeId, path: string): void => {
    for (const [local, seen] of folder.entries) {
      if (seen.kind === 'unreadable') {
        const named = base.child(parent, local)
        if (named) busy.add(named.node)
        else unexplained = true
        continue
      }
      const sighting: Sighting = { seen, parent, local, folder: path }
      const entry = seen.kind === 'folder' ? folderNode(sighting) : fileNode(sighting)
      const node = entry?.node ?? options.newNode()
      // What had this name, if it is not found elsewhere.
      const named = base.child(parent, local)
      if (named && named !== entry) vanished.push(named)
      if (entry) claimed.set(node, sighting)
      else unmatched.push({ node, sighting })
      if (seen.kind === 'folder' && seen.folder) walk(seen.folder, node, `${path}${local}/`)
    }
    for (const local of goneFrom(base, parent, folder)) {
      const entry = base.child(parent, local)
      if (entry) vanished.push(entry)
    }
  }
  walk(root, ROOT_NODE, '')
  undoCycles(base, claimed)

  const missing = new Map<NodeId, BaseEntry>()
  for (const entry of vanished) collectMissing(base, entry, { claimed, busy }, missing)
  const known = new Map<NodeId, Finding>()
  const fresh: Fresh[] = []
  for (const { node, sighting } of unmatched) {
    const from = base.byObject(sighting.seen.stamp)
    const { kind } = sighting.seen
    if (from && kind !== 'folder' && from.content.kind === kind && missing.delete(from.node)) {
      claimed.set(from.node, sighting)
    } else fresh.push(freshOf(node, sighting))
  }
  for (const [node, sighting] of claimed) {
    const entry = base.get(node)
    const finding = entry && findingOf(entry, sighting, options)
    if (finding) known.set(node, finding)
  }
  for (const node of missing.keys()) known.set(node, { state: unexplained ? 'busy' : 'missing' })
  for (const node of busy) known.set(node, { state: 'busy' })
  return { known, fresh, seen: claimed }
}

/** The same with what the digests told, and with files found again by their content. */
export function withContents(
  base: BaseTree,
  local: LocalTree,
  contents: ReadonlyMap<NodeId, LiveContent>,
): LocalTree {
  const known = new Map(local.known)
  const lost = new Map<string, NodeId>()
  for (const [node, finding] of known) {
    const content = contents.get(node)
    if (finding.state === 'present' && content) known.set(node, { ...finding, content })
    const entry = base.get(node)
    const key = finding.state === 'missing' && entry && contentKey(entry.content)
    if (key) lost.set(key, node)
  }
  const fresh: Fresh[] = []
  for (const item of local.fresh) {
    const content = contents.get(item.node) ?? item.content
    const key = content === 'unknown' ? undefined : contentKey(content)
    const from = key && lost.get(key)
    if (key && from && content !== 'unknown') {
      lost.delete(key)
      const { parent, local: name, path, stamp } = item
      known.set(from, { state: 'present', parent, local: name, path, stamp, content })
    } else fresh.push({ ...item, content })
  }
  return { known, fresh }
}

/** Files that are worth finding again: empty ones are all alike. */
function contentKey(content: LiveContent): string | undefined {
  if (content.kind !== 'file' || content.size === 0) return undefined
  return `${content.size}:${Buffer.from(content.sha256).toString('base64')}`
}

function foldersByObject(root: SeenFolder): Map<string, Sight> {
  const found = new Map<string, Sight>()
  const walk = (folder: SeenFolder): void => {
    for (const seen of folder.entries.values()) {
      if (seen.kind !== 'folder') continue
      const object = objectOf(seen.stamp)
      if (!found.has(object)) found.set(object, seen)
      if (seen.folder) walk(seen.folder)
    }
  }
  walk(root)
  return found
}

function* goneFrom(base: BaseTree, parent: NodeId, folder: SeenFolder): Iterable<string> {
  if (!folder.complete) yield* folder.absent
  else for (const local of base.children(parent).keys()) if (!folder.entries.has(local)) yield local
}

/** An entry that is gone, and all that was in it, but for what was seen elsewhere. */
function collectMissing(
  base: BaseTree,
  entry: BaseEntry,
  seen: { readonly claimed: ReadonlyMap<NodeId, Sighting>; readonly busy: ReadonlySet<NodeId> },
  missing: Map<NodeId, BaseEntry>,
): void {
  // A folder that was moved took its content along; what is gone from it was found in its new place.
  if (seen.claimed.has(entry.node)) return
  if (!seen.busy.has(entry.node)) missing.set(entry.node, entry)
  for (const node of base.children(entry.node).values()) {
    const child = base.get(node)
    if (child) collectMissing(base, child, seen, missing)
  }
}

/**
 * Names that went round among files (two files swapped): each is the object that another one was, unchanged, so the
 * files were renamed and not rewritten.
 */
function undoCycles(base: BaseTree, claimed: Map<NodeId, Sighting>): void {
  const occupant = (node: NodeId): NodeId | undefined => {
    const seen = claimed.get(node)?.seen
    const other = seen && seen.kind !== 'folder' ? base.byObject(seen.stamp) : undefined
    if (!seen || !other || other.node === node || other.content.kind !== seen.kind) return undefined
    return sameBytes(other.stamp, seen.stamp) && claimed.has(other.node) ? other.node : undefined
  }
  const done = new Set<NodeId>()
  for (const start of claimed.keys()) {
    if (done.has(start)) continue
    const cycle: NodeId[] = []
    let at: NodeId | undefined = start
    while (at && !done.has(at) && !cycle.includes(at)) {
      cycle.push(at)
      at = occupant(at)
    }
    for (const node of cycle) done.add(node)
    if (at !== start || cycle.length < 2) continue
    const sightings = cycle.map((node) => claimed.get(node))
    cycle.forEach((_, i) => {
      const owner = cycle[(i + 1) % cycle.length]
      const sighting = sightings[i]
      if (owner && sighting) claimed.set(owner, sighting)
    })
  }
}

function freshOf(node: NodeId, { seen, parent, local, folder }: Sighting): Fresh {
  return {
    node,
    parent,
    local,
    path: folder + local,
    stamp: seen.stamp,
    content: plainContent(seen) ?? 'unknown',
  }
}

/** The content of what needs no digest. */
function plainContent(seen: Sight): LiveContent | undefined {
  if (seen.kind === 'folder') return { kind: 'folder' }
  return seen.kind === 'symlink' ? { kind: 'symlink', target: seen.target ?? '' } : undefined
}

/** Undefined when the node is as the base says. */
function findingOf(
  entry: BaseEntry,
  { seen, parent, local, folder }: Sighting,
  options: MatchOptions,
): Finding | undefined {
  const moved = entry.parent !== parent || entry.local !== local
  const content = contentNow(entry, seen, moved, options)
  const same =
    sameStamp(entry.stamp, seen.stamp) || (seen.kind === 'folder' && sameObject(entry.stamp, seen.stamp))
  if (!moved && same && content === entry.content) return undefined
  return { state: 'present', parent, local, path: folder + local, stamp: seen.stamp, content }
}

function contentNow(
  { content, stamp }: BaseEntry,
  seen: Sight,
  moved: boolean,
  options: MatchOptions,
): LiveContent | 'unknown' {
  const plain = plainContent(seen)
  if (plain?.kind === 'symlink' && content.kind === 'symlink' && plain.target === content.target)
    return content
  if (plain) return plain.kind === 'folder' && content.kind === 'folder' ? content : plain
  if (content.kind !== 'file') return 'unknown'
  const executable = isExecutable(seen.stamp, options) ?? content.executable
  const flipped = executable !== content.executable
  const untouched = moved || flipped ? sameBytes(stamp, seen.stamp) : sameStamp(stamp, seen.stamp)
  if (!untouched) return 'unknown'
  return flipped ? { ...content, executable } : content
}

/** Undefined where the volume cannot tell. */
export const isExecutable = (stamp: Stamp, options: Pick<MatchOptions, 'executable'>): boolean | undefined =>
  options.executable ? (stamp.mode & 0o100) !== 0 : undefined
