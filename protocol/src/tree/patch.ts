/** The merge after a small change: only the folders it touches are laid out again. */
import type { DeviceId, NodeId } from '../ids.ts'
import { ROOT_NODE } from '../ids.ts'
import type { FactsChange, NodeFacts } from './facts.ts'
import { type FolderLayout, layOut } from './layout.ts'
import { type Branch, childrenOf, indexed, MAX_TREE_DEPTH, type MergedTree } from './merge.ts'

/**
 * What `mergeTree` would give, when the change is one of files in folders that are live and stay as they are:
 * nothing but those folders' own lists can differ then. Undefined otherwise. Uses up `last`.
 */
export function patchTree(
  last: MergedTree,
  changes: readonly FactsChange[],
  personOf: (device: DeviceId) => string,
): MergedTree | undefined {
  const touched = new Map<Branch, Set<NodeFacts>>()
  const added: { readonly to: Branch; readonly facts: NodeFacts }[] = []
  for (const { before, after } of changes) {
    for (const facts of [before, after]) {
      // Dead files are not in the tree; dead folders may be.
      if (!facts || (!facts.alive && facts.head.content.kind !== 'folder')) continue
      const parent = steadyParent(last, facts)
      if (!parent) return undefined
      const going = touched.get(parent) ?? new Set()
      touched.set(parent, going)
      if (facts === before) going.add(facts)
      else added.push({ to: parent, facts })
    }
  }
  for (const [branch, going] of touched)
    branch.children = branch.children.filter((facts) => !going.has(facts))
  for (const { to, facts } of added) to.children.push(facts)
  return laidOutAgain(last, new Set(touched.keys()), personOf)
}

/** The folder a file is listed in, when neither depends on anything else. */
function steadyParent({ folders, root }: MergedTree, facts: NodeFacts): Branch | undefined {
  if (facts.head.content.kind === 'folder' || facts.node === ROOT_NODE) return undefined
  const parent = folders.get(facts.place.parent) ?? root
  if (parent !== root && !parent.facts?.alive) return undefined
  return (parent.depth ?? 0) < MAX_TREE_DEPTH ? parent : undefined
}

function laidOutAgain(
  last: MergedTree,
  touched: ReadonlySet<Branch>,
  personOf: (device: DeviceId) => string,
): MergedTree | undefined {
  const layouts = new Map(last.layouts)
  const outdated: FolderLayout[] = []
  const fresh: FolderLayout[] = []
  for (const node of new Set([...touched].map((branch) => shownAs(last, branch)))) {
    const before = layouts.get(node)
    const entry = last.tree.byNode.get(node)
    const children = entry ? childrenOf(entry, last.folders) : last.root.children
    const layout = layOut({ node, path: entry?.path ?? '', children }, before, personOf)
    if (layout === before) continue
    // A file can take its name from a folder, and all paths below with it.
    if (!sameFolders(layout, before)) return undefined
    layouts.set(node, layout)
    if (before) outdated.push(before)
    fresh.push(layout)
  }
  const collisions = [...layouts.values()].flatMap((layout) => layout.collisions)
  return { ...last, layouts, collisions, tree: indexed(last.tree, outdated, fresh) }
}

function sameFolders({ folders }: FolderLayout, before: FolderLayout | undefined): boolean {
  if (folders.length !== before?.folders.length) return false
  const paths = new Map(before.folders.map(({ node, path }) => [node, path]))
  return folders.every(({ node, path }) => paths.get(node) === path)
}

function shownAs(last: MergedTree, { facts }: Branch): NodeId {
  return facts ? (last.tree.byNode.get(facts.node)?.node ?? facts.node) : ROOT_NODE
}
