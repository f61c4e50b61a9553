/** What the merge needs to know of each node. */
import type { DeviceId, NodeId } from '../ids.ts'
import type { PlaceRecord } from '../records/record.ts'
import type { NodeHeads } from '../versions/graph.ts'

/** A place record with its author. */
export interface AuthoredPlace extends PlaceRecord {
  readonly author: DeviceId
}

/** One node: the place and the versions that hold. Replaced as a whole when anything of it changes. */
export interface NodeFacts extends NodeHeads {
  readonly node: NodeId
  readonly place: AuthoredPlace
}

/** What was known of a node at one time, and what is known now. */
export interface FactsChange {
  readonly before: NodeFacts | undefined
  readonly after: NodeFacts | undefined
}

/** The order in which nodes claim names and places: the older first. */
export function comparePlaces(a: NodeFacts, b: NodeFacts): number {
  return a.place.at - b.place.at || (a.node < b.node ? -1 : a.node > b.node ? 1 : 0)
}
