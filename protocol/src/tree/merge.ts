/**
 * The visible tree out of what is known of each node. Pure and total: any set of facts, however it came about,
 * gives one tree in which every live node is found exactly once and no two entries share a path.
 */
import type { DeviceId, NodeId } from '../ids.ts'
import { ROOT_NODE } from '../ids.ts'
import { comparePlaces, type NodeFacts } from './facts.ts'
import { type FolderLayout, layOut } from './layout.ts'
import { overlay } from './overlay.ts'
import type { ShareTree, TreeEntry } from './tree.ts'

/** Folders deeper than this hang under the root: bounds the length of paths and the work of whoever walks them. */
export const MAX_TREE_DEPTH = 512

export interface MergedTree {
  readonly tree: ShareTree
  /** Nodes that claim one name in one folder, the rightful holder first; folders shown as one count once. */
  readonly collisions: readonly (readonly NodeFacts[])[]
  /** By the node each folder is shown as. */
  readonly layouts: ReadonlyMap<NodeId, FolderLayout>
  readonly folders: ReadonlyMap<NodeId, Branch>
  readonly root: Branch
}

/** A folder while the tree is built. */
export interface Branch {
  /** Undefined for the root. */
  readonly facts: NodeFacts | undefined
  parent: Branch | undefined
  /** Live, or holds something live. */
  shown: boolean
  /** 0 for the root; undefined until known. */
  depth: number | undefined
  /** The visible ones, of all kinds. */
  children: NodeFacts[]
}

/**
 * Merges all that is known. `last` is an earlier merge of the same share with the same names of members: what
 * has not changed since is taken over. It makes no difference to the result.
 */
export function mergeTree(
  nodes: readonly NodeFacts[],
  personOf: (device: DeviceId) => string,
  last?: MergedTree,
): MergedTree {
  const root: Branch = { facts: undefined, parent: undefined, shown: true, depth: 0, children: [] }
  const folders = growFolders(nodes, root)
  cutCycles(folders, root)
  for (const folder of folders.values()) depthOf(folder, root)
  showLive(nodes, folders, root)
  const layouts = layOutAll(folders, root, personOf, last)
  return { ...mergedOf(layouts, last), folders, root }
}

const isFolder = (facts: NodeFacts): boolean => facts.head.content.kind === 'folder'

/** All folders, dead ones too: they may hold what is alive. */
function growFolders(nodes: readonly NodeFacts[], root: Branch): Map<NodeId, Branch> {
  const folders = new Map<NodeId, Branch>()
  for (const facts of nodes) {
    if (isFolder(facts) && facts.node !== ROOT_NODE) {
      folders.set(facts.node, { facts, parent: root, shown: false, depth: undefined, children: [] })
    }
  }
  for (const branch of folders.values()) {
    if (branch.facts) branch.parent = folders.get(branch.facts.place.parent) ?? root
  }
  return folders
}

/** In each cycle the newest place falls back to the root; every folder is in one cycle at most. */
function cutCycles(folders: ReadonlyMap<NodeId, Branch>, root: Branch): void {
  const sound = new Set<Branch>([root])
  for (const start of folders.values()) {
    const walked = new Set<Branch>()
    let at: Branch | undefined = start
    while (at && !sound.has(at) && !walked.has(at)) {
      walked.add(at)
      at = at.parent
    }
    if (at && walked.has(at)) newestOf(at).parent = root
    for (const branch of walked) sound.add(branch)
  }
}

function newestOf(cycle: Branch): Branch {
  let newest = cycle
  for (let at = cycle.parent; at && at !== cycle; at = at.parent) {
    if (at.facts && newest.facts && comparePlaces(at.facts, newest.facts) > 0) newest = at
  }
  return newest
}

function depthOf(folder: Branch, root: Branch): void {
  const above: Branch[] = []
  for (let at: Branch | undefined = folder; at && at.depth === undefined; at = at.parent) above.push(at)
  for (let at = above.pop(); at; at = above.pop()) {
    if ((at.parent?.depth ?? 0) >= MAX_TREE_DEPTH) at.parent = root
    at.depth = (at.parent?.depth ?? 0) + 1
  }
}

/** Hands every folder its visible children. */
function showLive(nodes: readonly NodeFacts[], folders: ReadonlyMap<NodeId, Branch>, root: Branch): void {
  for (const facts of nodes) {
    if (!facts.alive || facts.node === ROOT_NODE) continue
    let at: Branch | undefined
    if (isFolder(facts)) at = folders.get(facts.node)
    else {
      at = folders.get(facts.place.parent) ?? root
      if ((at.depth ?? 0) >= MAX_TREE_DEPTH) at = root
      at.children.push(facts)
    }
    while (at?.facts && !at.shown) {
      at.shown = true
      at.parent?.children.push(at.facts)
      at = at.parent
    }
  }
}

function layOutAll(
  folders: ReadonlyMap<NodeId, Branch>,
  root: Branch,
  personOf: (device: DeviceId) => string,
  last: MergedTree | undefined,
): Map<NodeId, FolderLayout> {
  const layouts = new Map<NodeId, FolderLayout>()
  const open = [{ node: ROOT_NODE, path: '', children: root.children }]
  for (let folder = open.pop(); folder; folder = open.pop()) {
    const layout = layOut(folder, last?.layouts.get(folder.node), personOf)
    layouts.set(folder.node, layout)
    for (const entry of layout.folders) {
      open.push({ node: entry.node, path: entry.path, children: childrenOf(entry, folders) })
    }
  }
  return layouts
}

/** What is in a folder, and in those shown as it. */
export function childrenOf(
  { node, aliases }: Pick<TreeEntry, 'node' | 'aliases'>,
  folders: ReadonlyMap<NodeId, Branch>,
): NodeFacts[] {
  const own = folders.get(node)?.children ?? []
  return aliases.length === 0 ? own : [node, ...aliases].flatMap((id) => folders.get(id)?.children ?? [])
}

/** The tree that layouts make, starting from that of an earlier merge. */
function mergedOf(
  layouts: ReadonlyMap<NodeId, FolderLayout>,
  last: MergedTree | undefined,
): Pick<MergedTree, 'tree' | 'collisions' | 'layouts'> {
  const outdated: FolderLayout[] = []
  for (const [node, layout] of last?.layouts ?? []) if (layouts.get(node) !== layout) outdated.push(layout)
  const fresh: FolderLayout[] = []
  for (const [node, layout] of layouts) if (last?.layouts.get(node) !== layout) fresh.push(layout)
  const collisions: (readonly NodeFacts[])[] = []
  for (const layout of layouts.values()) for (const collision of layout.collisions) collisions.push(collision)
  return { tree: indexed(last?.tree, outdated, fresh), collisions, layouts }
}

/** A tree without the entries of some layouts and with those of others. */
export function indexed(
  last: ShareTree | undefined,
  outdated: readonly FolderLayout[],
  fresh: readonly FolderLayout[],
): ShareTree {
  const byPath = overlay(last?.byPath)
  const byNode = overlay(last?.byNode)
  for (const { entries } of outdated) {
    for (const entry of entries) {
      byPath.remove(entry.path)
      byNode.remove(entry.node)
      for (const alias of entry.aliases) byNode.remove(alias)
    }
  }
  for (const { entries } of fresh) {
    for (const entry of entries) {
      byPath.set(entry.path, entry)
      byNode.set(entry.node, entry)
      for (const alias of entry.aliases) byNode.set(alias, entry)
    }
  }
  return { byPath: byPath.done(), byNode: byNode.done() }
}
