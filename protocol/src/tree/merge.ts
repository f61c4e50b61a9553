/**
 * The visible tree out of what is known of each node. Pure and total: any set of facts, however it came about,
 * gives one tree in which every live node is found exactly once and no two entries share a path.
 */
import type { DeviceId, NodeId } from '../ids.ts'
import { ROOT_NODE } from '../ids.ts'
import { comparePlaces, type NodeFacts } from './facts.ts'
import { type Branch, type FolderLayout, type LaidFolder, layOut } from './layout.ts'
import type { ShareTree, TreeEntry } from './tree.ts'

/** Folders deeper than this hang under the root: bounds the length of paths and the work of whoever walks them. */
export const MAX_TREE_DEPTH = 512

export interface MergedTree {
  readonly tree: ShareTree
  /** Nodes that claim one name in one folder, the rightful holder first; folders shown as one count once. */
  readonly collisions: readonly (readonly NodeFacts[])[]
}

/**
 * Layouts of the last merge by folder, reused where nothing that went into them changed. Belongs to one share;
 * empty it when the names of members change.
 */
export type LayoutMemo = Map<NodeId, FolderLayout>

export function mergeTree(
  nodes: Iterable<NodeFacts>,
  personOf: (device: DeviceId) => string,
  memo: LayoutMemo = new Map(),
): MergedTree {
  const branches = grow(nodes)
  cutCycles(branches)
  limitDepth(branches)
  const top = show(branches)

  const byPath = new Map<string, TreeEntry>()
  const byNode = new Map<NodeId, TreeEntry>()
  const collisions: (readonly NodeFacts[])[] = []
  const used = new Set<NodeId>()
  const open: LaidFolder[] = [{ node: ROOT_NODE, path: '', children: top }]
  for (let folder = open.pop(); folder; folder = open.pop()) {
    const layout = layOut(folder, memo.get(folder.node), personOf)
    memo.set(folder.node, layout)
    used.add(folder.node)
    for (const entry of layout.entries) {
      byPath.set(entry.path, entry)
      byNode.set(entry.node, entry)
      for (const alias of entry.aliases) byNode.set(alias, entry)
      if (entry.kind === 'folder')
        open.push({ node: entry.node, path: entry.path, children: within(entry, branches) })
    }
    for (const collision of layout.collisions) collisions.push(collision)
  }
  for (const node of memo.keys()) if (!used.has(node)) memo.delete(node)
  return { tree: { byPath, byNode }, collisions }
}

/** Only folders carry anything, so a dead file is of no interest; a dead folder may hold what is alive. */
function grow(nodes: Iterable<NodeFacts>): Map<NodeId, Branch> {
  const branches = new Map<NodeId, Branch>()
  for (const facts of nodes) {
    const folder = facts.head.content.kind === 'folder'
    if (!folder && !facts.alive) continue
    if (facts.node === ROOT_NODE) continue
    branches.set(facts.node, { facts, folder, parent: undefined, shown: false, depth: 0, children: [] })
  }
  for (const branch of branches.values()) {
    const parent = branches.get(branch.facts.place.parent)
    if (parent?.folder) branch.parent = parent
  }
  return branches
}

/** In each cycle the newest place falls back to the root; every node is in one cycle at most. */
function cutCycles(branches: ReadonlyMap<NodeId, Branch>): void {
  const sound = new Set<Branch>()
  for (const start of branches.values()) {
    if (!start.folder) continue
    const walked = new Set<Branch>()
    let at: Branch | undefined = start
    while (at && !sound.has(at) && !walked.has(at)) {
      walked.add(at)
      at = at.parent
    }
    if (at && walked.has(at)) newestOf(at).parent = undefined
    for (const branch of walked) sound.add(branch)
  }
}

function newestOf(cycle: Branch): Branch {
  let newest = cycle
  for (let at = cycle.parent; at && at !== cycle; at = at.parent) {
    if (comparePlaces(at.facts, newest.facts) > 0) newest = at
  }
  return newest
}

function limitDepth(branches: ReadonlyMap<NodeId, Branch>): void {
  const above: Branch[] = []
  for (const branch of branches.values()) {
    for (let at: Branch | undefined = branch; at && at.depth === 0; at = at.parent) above.push(at)
    for (let at = above.pop(); at; at = above.pop()) {
      const depth = (at.parent?.depth ?? 0) + 1
      if (depth > MAX_TREE_DEPTH) at.parent = undefined
      at.depth = depth > MAX_TREE_DEPTH ? 1 : depth
    }
  }
}

/** Marks what is visible, hands every folder its visible children, and returns those of the root. */
function show(branches: ReadonlyMap<NodeId, Branch>): Branch[] {
  const top: Branch[] = []
  for (const branch of branches.values()) {
    if (!branch.facts.alive) continue
    for (let at: Branch | undefined = branch; at && !at.shown; at = at.parent) {
      at.shown = true
      if (at.parent) at.parent.children.push(at)
      else top.push(at)
    }
  }
  return top
}

function within(entry: TreeEntry, branches: ReadonlyMap<NodeId, Branch>): readonly Branch[] {
  const own = branches.get(entry.node)?.children ?? []
  if (entry.aliases.length === 0) return own
  return own.concat(...entry.aliases.map((alias) => branches.get(alias)?.children ?? []))
}
