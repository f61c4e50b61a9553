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

/** One line of a folder: a file or link, or all folders of one name. */
interface Claim {
  readonly facts: NodeFacts
  readonly folder: boolean
  readonly aliases: readonly NodeFacts[]
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
  const unnamed: Claim[] = []
  for (const [name, claimants] of names) {
    if (!Array.isArray(claimants)) {
      entries.push(entryOf(singleClaim(claimants), name, folder))
      continue
    }
    const [holder, ...others] = claimsOf(claimants)
    if (!holder) continue
    entries.push(entryOf(holder, name, folder))
    if (others.length === 0) continue
    collisions.push([holder, ...others].map(({ facts }) => facts))
    unnamed.push(...others)
  }
  const nameOf = conflictNames(new Set(unnamed.length > 0 ? names.keys() : []), personOf)
  for (const claim of unnamed.sort((a, b) => comparePlaces(a.facts, b.facts))) {
    entries.push(entryOf(claim, nameOf(claim), folder))
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

const singleClaim = (facts: NodeFacts): Claim => ({ facts, folder: isFolder(facts), aliases: [] })

const isFolder = (facts: NodeFacts): boolean => facts.head.content.kind === 'folder'

/** The claims on one name, the holder first. Folders of one name are one claim, led by a live one if there is any. */
function claimsOf(claimants: readonly NodeFacts[]): Claim[] {
  const claims = claimants.filter((facts) => !isFolder(facts)).map(singleClaim)
  const folders = claimants
    .filter(isFolder)
    .sort((a, b) => Number(b.alive) - Number(a.alive) || comparePlaces(a, b))
  const [first, ...aliases] = folders
  if (first) claims.push({ facts: first, folder: true, aliases })
  return claims.sort((a, b) => comparePlaces(a.facts, b.facts))
}

/** Names unlike any in `taken` and unlike each other; a counter per name keeps a thousand equal ones cheap. */
function conflictNames(taken: Set<string>, personOf: (device: DeviceId) => string): (claim: Claim) => string {
  const attempts = new Map<string, number>()
  return ({ facts, folder }) => {
    const options = { folder, person: personOf(facts.place.author), at: facts.place.at }
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

function entryOf(claim: Claim, name: string, folder: LaidFolder): TreeEntry {
  const { facts } = claim
  const { kind } = facts.head.content
  return {
    node: facts.node,
    kind: kind === 'deleted' ? 'file' : kind,
    parent: folder.node,
    name,
    path: folder.path === '' ? name : `${folder.path}/${name}`,
    placedAt: facts.place.at,
    head: facts.head,
    heads: facts.heads.map(({ id }) => id),
    aliases: claim.aliases.length === 0 ? NONE : claim.aliases.map(({ node }) => node),
  }
}
