/** Finding what used to stand at a path: for the history of what was deleted or replaced by another file. */
import { type NodeId, ROOT_NODE } from '../ids.ts'
import type { NodeFacts } from '../tree/facts.ts'

/** All nodes whose place is or last was `path`, in no order. A moved folder takes what it held along. */
export function everAt(
  path: string,
  nodes: readonly NodeFacts[],
  nodeOf: (node: NodeId) => NodeFacts | undefined,
): NodeId[] {
  const names = path.split('/')
  const last = names.at(-1)
  return nodes
    .filter((facts) => facts.place.name === last && isAt(facts, names, nodeOf))
    .map(({ node }) => node)
}

/** Climbs once per name of the path, so that cycles of places end as well. */
function isAt(
  facts: NodeFacts,
  names: readonly string[],
  nodeOf: (node: NodeId) => NodeFacts | undefined,
): boolean {
  let parent: NodeId = facts.place.parent
  for (const name of names.slice(0, -1).reverse()) {
    const folder = nodeOf(parent)
    if (folder?.place.name !== name) return false
    parent = folder.place.parent
  }
  return parent === ROOT_NODE
}
