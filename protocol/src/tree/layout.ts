/** One folder of the tree: which of its children is shown under which name. */
import type { DeviceId, NodeId } from '../ids.ts'
import { comparePlaces, type NodeFacts } from './facts.ts'
import { conflictName } from './names.ts'
import type { TreeEntry } from './tree.ts'

/** A folder to lay out: the node it is shown as, and the visible children of all nodes shown as it. */
export interface LaidFolder {
  readonly node: NodeId
  readonly path: string
  readonly children: readonly NodeFacts[]
}

export interface FolderLayout {
  readonly path: string
  /** What went into the layout, in this order. */
  readonly facts: readonly NodeFacts[]
  readonly entries: readonly TreeEntry[]
  /** The folders among them. */
  readonly folders: readonly TreeEntry[]
  readonly collisions: readonly (readonly NodeFacts[])[]
}

/** Shared by all entries without any. */
const NONE: readonly NodeId[] = []

/** A name's claimant: a file or link, or all folders of that name with the one they are shown as. */
interface Claim {
  readonly facts: NodeFacts
  readonly aliases: readonly NodeId[]
}

/** The folder's entries; `last` itself when nothing that goes into them changed. */
export function layOut(
  folder: LaidFolder,
  last: FolderLayout | undefined,
  personOf: (device: DeviceId) => string,
): FolderLayout {
  if (last && isCurrent(last, folder)) return last
  const names = byName(folder.children)
  const entries: TreeEntry[] = []
  const collisions: (readonly NodeFacts[])[] = []
  if (names.size === folder.children.length) {
    for (const facts of folder.children) entries.push(entryOf(facts, NONE, facts.place.name, folder))
  } else {
    const unnamed: Claim[] = []
    for (const [name, claimants] of names) {
      const [holder, ...others] = claimsOf(Array.isArray(claimants) ? claimants : [claimants])
      if (!holder) continue
      entries.push(entryOf(holder.facts, holder.aliases, name, folder))
      if (others.length > 0) collisions.push([holder, ...others].map(({ facts }) => facts))
      for (const other of others) unnamed.push(other)
    }
    const nameOf = conflictNames(new Set(names.keys()), personOf)
    for (const { facts, aliases } of unnamed.sort((a, b) => comparePlaces(a.facts, b.facts))) {
      entries.push(entryOf(facts, aliases, nameOf(facts), folder))
    }
  }
  const folders = entries.filter(({ kind }) => kind === 'folder')
  return { path: folder.path, facts: folder.children, entries, folders, collisions }
}

function isCurrent(layout: FolderLayout, folder: LaidFolder): boolean {
  if (layout.path !== folder.path || layout.facts.length !== folder.children.length) return false
  for (let i = 0; i < layout.facts.length; i++) if (layout.facts[i] !== folder.children[i]) return false
  return true
}

/** A list only where several claim one name: nearly every name has one claimant. */
function byName(children: readonly NodeFacts[]): Map<string, NodeFacts | NodeFacts[]> {
  const names = new Map<string, NodeFacts | NodeFacts[]>()
  for (const child of children) {
    const { name } = child.place
    const found = names.get(name)
    if (!found) names.set(name, child)
    else if (Array.isArray(found)) found.push(child)
    else names.set(name, [found, child])
  }
  return names
}

const isFolder = (facts: NodeFacts): boolean => facts.head.content.kind === 'folder'

/** The claims on one name, the holder first. Folders of one name are one claim, led by a live one if there is any. */
function claimsOf(claimants: readonly NodeFacts[]): Claim[] {
  const claims: Claim[] = claimants
    .filter((facts) => !isFolder(facts))
    .map((facts) => ({ facts, aliases: NONE }))
  const [first, ...others] = claimants
    .filter(isFolder)
    .sort((a, b) => Number(b.alive) - Number(a.alive) || comparePlaces(a, b))
  if (first) claims.push({ facts: first, aliases: others.map(({ node }) => node) })
  return claims.sort((a, b) => comparePlaces(a.facts, b.facts))
}

/** Names unlike any in `taken` and unlike each other; a counter per name keeps a thousand equal ones cheap. */
function conflictNames(
  taken: Set<string>,
  personOf: (device: DeviceId) => string,
): (facts: NodeFacts) => string {
  const attempts = new Map<string, number>()
  return (facts) => {
    const options = { folder: isFolder(facts), person: personOf(facts.place.author), at: facts.place.at }
    const first = conflictName(facts.place.name, options)
    let name = first
    let attempt = attempts.get(first) ?? 1
    if (attempt > 1) name = conflictName(facts.place.name, { ...options, attempt })
    while (taken.has(name)) name = conflictName(facts.place.name, { ...options, attempt: ++attempt })
    attempts.set(first, attempt + 1)
    taken.add(name)
    return name
  }
}

function entryOf(facts: NodeFacts, aliases: readonly NodeId[], name: string, folder: LaidFolder): TreeEntry {
  const { node, place, head, heads } = facts
  const { kind } = head.content
  return {
    node,
    kind: kind === 'deleted' ? 'file' : kind,
    parent: folder.node,
    name,
    path: folder.path === '' ? name : `${folder.path}/${name}`,
    placedAt: place.at,
    head,
    heads: heads.length === 1 ? [head.id] : heads.map(({ id }) => id),
    aliases,
  }
}
